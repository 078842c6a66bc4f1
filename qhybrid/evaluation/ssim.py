"""The structural similarity index of generated and real images."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from qhybrid.data.dataset import scale_pixels
from qhybrid_circuits.errors import NotFiniteError, RequestError, ShapeError, UnknownNameError

Pairing = Literal["all", "in-order"]
"""Every generated image with every real one, or the first with the first, and so on."""

SIGMA = 1.5
"""Of the Gaussian window in pixels (Wang et al. 2004), which is cut off at 11x11."""

LEAST_SIDE = 6
"""The window's half of 5 pixels is mirrored at the border, which smaller images cannot be."""

_BATCH = 1024


def mean_ssim(generated: Tensor, real: Tensor, *, pairing: Pairing = "all") -> float:
    """Mean structural similarity of generated and real images (Wang et al. 2004, equation 13).

    1 for equal images, 0 for unrelated ones. A generated image has no real one that it should
    equal, so the figure depends on who is compared with whom. `all` is the mean over all pairs,
    which no order changes. `in-order` compares image i with image i; Chen et al. (2025) print such
    a figure without saying which images they pair, and their code does so with the data set's first
    images, few of which show the digit that was drawn. Either way it is no measure of quality on
    its own: a model that draws one average image over and over scores well. The same figure for
    real against real images says what can be had.

    Args:
        generated: (N, C, H, W) in [-1, 1], sides of at least 6 pixels. They are read as intensities
            from 0 to 1, since the index depends on where black is.
        real: (M, C, H, W) in [-1, 1]; for `in-order` as many as are generated.
        pairing: `all` or `in-order`.

    Raises:
        ShapeError: The images are not of one shape, are too small, or cannot be paired.
        NotFiniteError: A pixel is NaN or infinite.
        RequestError: A pixel is outside of [-1, 1], or there is no such pairing.
    """
    if pairing not in get_args(Pairing):
        raise UnknownNameError("pairing", pairing, get_args(Pairing))
    _check_shapes(generated, real, pairing)
    first, second = (_intensities(*each) for each in (("generated", generated), ("real", real)))
    if pairing == "in-order":
        return float(_of_pairs(first, second).mean())
    total = sum(float(_of_pairs(image.expand_as(second), second).sum()) for image in first)
    return total / (len(first) * len(second))


def pair_ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity of images i and i, (N,), in single precision, which is fast.

    Args:
        first: uint8 (N, H, W, C), sides of at least 6 pixels.
        second: The same shape.
    """
    return _of_pairs(*(scale_pixels(images) / 2 + 0.5 for images in (first, second)))


def _of_pairs(first: Tensor, second: Tensor) -> Tensor:
    """Similarity of intensities (N, C, H, W) from 0 to 1, (N,)."""
    # It takes more than a second to load.
    from torchmetrics.functional.image import structural_similarity_index_measure

    parts: list[Tensor] = []
    for x, y in zip(torch.split(first, _BATCH), torch.split(second, _BATCH), strict=True):
        index: Any = structural_similarity_index_measure(
            x, y, sigma=SIGMA, data_range=1.0, reduction="none"
        )
        parts.append(index.reshape(-1))
    return torch.cat(parts)


def _check_shapes(generated: Tensor, real: Tensor, pairing: Pairing) -> None:
    for name, images in (("generated", generated), ("real", real)):
        if images.ndim != 4 or not len(images) or min(images.shape[2:]) < LEAST_SIDE:
            raise ShapeError(
                f"argument `{name}` must have shape (N, C, H, W) with N at least 1 and sides of at "
                f"least {LEAST_SIDE} pixels, but has {tuple(images.shape)}"
            )
    if generated.shape[1:] != real.shape[1:]:
        raise ShapeError(
            f"generated and real images must be of one shape (C, H, W), but have "
            f"{tuple(generated.shape[1:])} and {tuple(real.shape[1:])}; resize one of them"
        )
    if pairing == "in-order" and len(generated) != len(real):
        raise ShapeError(
            f"images paired in order must be as many, but {len(generated)} are generated and "
            f"{len(real)} real; leave some out, or use pairing='all'"
        )


def _intensities(name: str, images: Tensor) -> Tensor:
    """Images in [-1, 1] as double-precision intensities from 0 to 1."""
    if not bool(images.isfinite().all()):
        raise NotFiniteError(f"argument `{name}` holds pixels that are NaN or infinite")
    if float(images.abs().max()) > 1 + 1e-5:
        raise RequestError(
            f"argument `{name}` must lie in [-1, 1], but reaches from {float(images.min()):g} to "
            f"{float(images.max()):g}; scale it, e.g. 2 * x - 1 from [0, 1]"
        )
    return (images.detach().to(torch.float64) + 1) / 2
