"""Which image sizes are accepted, and resizing to one of them."""

import numpy as np
from numpy.typing import NDArray

from qhybrid.memory import check_memory
from qhybrid.models.image_sizes import IMAGE_SIZES
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


def fitting_side(height: int, width: int, image_size: int | None, source: str) -> int:
    """Return the side that images become: the requested one, their own, or the largest allowed.

    Raises:
        RequestError: Images that are not square, or a native size that is not the models' and
            below the largest, so that more than one would do.
    """
    check_image_size(image_size)
    if height != width:
        raise RequestError(
            f"images of {source} are {width}x{height} (width x height) and must be square; "
            "crop or pad them first"
        )
    if image_size is None and height not in IMAGE_SIZES and height < _LARGEST:
        raise RequestError(
            f"images of {source} are {width}x{height}, but the models take sizes {_ALLOWED}; "
            "resize them with --set data.image_size=N"
        )
    return image_size or min(height, _LARGEST)


def resizing_note(native: int, side: int) -> str:
    """Return the note on a resizing that nobody asked for; empty where the size stays."""
    resized = f"{native}x{native} pixels are resized to {side}x{side}, the models' largest size"
    return "" if native == side else resized


def fit_image_size(images: NDArray[np.uint8], side: int, source: str) -> NDArray[np.uint8]:
    """Return square images (N, H, W, C) with that side, resized bicubically with antialiasing.

    Raises:
        RequestError: Too many for the memory.
    """
    if side == images.shape[1]:
        return images
    # As bytes, as floats of 32 bits, and resized along one axis.
    check_memory(10 * images.size, f"resizing the images of {source}", "put fewer images into it")
    return _resize(images, side)


def _resize(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    import torch
    from torchvision.transforms.v2 import InterpolationMode, functional

    tensor = torch.tensor(images).permute(0, 3, 1, 2)
    bicubic = InterpolationMode.BICUBIC
    resized: torch.Tensor = functional.resize(tensor, [side, side], bicubic, antialias=True)
    pixels: NDArray[np.uint8] = resized.permute(0, 2, 3, 1).contiguous().numpy()
    return pixels
