"""Which image sizes are accepted, and resizing to one of them."""

import numpy as np
from numpy.typing import NDArray

from qhybrid.models.spec import IMAGE_SIZES
from qhybrid_circuits.errors import RequestError

*_SMALLER, _LARGEST = sorted(IMAGE_SIZES)
_ALLOWED = f"{', '.join(map(str, _SMALLER))} or {_LARGEST}"


def check_image_size(image_size: int | None) -> None:
    """Check a requested size before anything is read or downloaded.

    Raises:
        RequestError: A size that the models do not take.
    """
    if image_size is not None and image_size not in IMAGE_SIZES:
        raise RequestError(
            f"image size {image_size!r} has no path to the 2x2 vertex; "
            f"set data.image_size to {_ALLOWED}"
        )


def fit_image_size(
    images: NDArray[np.uint8], image_size: int | None, source: str
) -> NDArray[np.uint8]:
    """Return square images (N, H, W, C), resized (bicubic, antialiased) unless the size is None.

    Raises:
        RequestError: Images that are not square, or a native size that the models do not take.
    """
    height, width = images.shape[1:3]
    if height != width:
        raise RequestError(
            f"images of {source} are {width}x{height} (width x height) and must be square; "
            "crop or pad them first"
        )
    if image_size is None and height not in IMAGE_SIZES:
        raise RequestError(
            f"images of {source} are {width}x{height}, but the models take sizes {_ALLOWED}; "
            "resize them with --set data.image_size=N"
        )
    check_image_size(image_size)
    return images if image_size in (None, height) else _resize(images, image_size)


def _resize(images: NDArray[np.uint8], image_size: int | None) -> NDArray[np.uint8]:
    import torch
    from torchvision.transforms.v2 import InterpolationMode, functional

    tensor, side = torch.tensor(images).permute(0, 3, 1, 2), [image_size, image_size]
    bicubic = InterpolationMode.BICUBIC
    resized: torch.Tensor = functional.resize(tensor, side, bicubic, antialias=True)
    pixels: NDArray[np.uint8] = resized.permute(0, 2, 3, 1).contiguous().numpy()
    return pixels
