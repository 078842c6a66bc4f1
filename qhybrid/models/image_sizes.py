"""The image sizes from which a U-Net leads to its 2x2 vertex."""

from collections.abc import Mapping

from qhybrid_circuits.errors import RequestError

IMAGE_SIZES: Mapping[int, tuple[int, ...]] = {
    8: (1, 2, 4),
    16: (1, 2, 3, 4),
    28: (1, 2, 3, 4),
    32: (1, 2, 3, 4, 4),
}
"""Image size in pixels -> channel multipliers, one a level; every path ends at 2x2."""

CHANNELS: tuple[int, ...] = (1, 3)

FUSED_FROM = 128
"""Pixels from which on kernels, which must be compiled once, are worth it."""


def multipliers(image_size: int) -> tuple[int, ...]:
    """Channel multipliers of the levels for an image size in pixels.

    Raises:
        RequestError: The U-Net has no path from this size to its 2x2 vertex.
    """
    if image_size not in IMAGE_SIZES:
        known = ", ".join(map(str, IMAGE_SIZES))
        raise RequestError(
            f"image_size must be one of {known}, the sizes with a path to the 2x2 "
            f"vertex, but is {image_size!r}; resize the images to one of these"
        )
    return IMAGE_SIZES[image_size]


def level_sizes(image_size: int) -> tuple[int, ...]:
    """Side length in pixels of the feature maps of each level, e.g. (28, 14, 7, 2).

    Raises:
        RequestError: The size is not one of `IMAGE_SIZES`.
    """
    sizes = [image_size]
    for _ in multipliers(image_size)[1:]:
        sizes.append(2 if sizes[-1] == 7 else sizes[-1] // 2)
    return tuple(sizes)
