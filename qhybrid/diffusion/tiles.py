"""How images are laid out in a grid; imports nothing heavy."""

import math

MIN_TILE_PIXELS = 64
"""Smaller images are enlarged to about this side length, so that a person can see them."""

BORDER_PIXELS = 2


def tile_sizes(side: int, upscale: int | None = None) -> tuple[int, int]:
    """Return the pixels a side that each pixel of an image becomes, and those of a border."""
    factor = upscale or math.ceil(MIN_TILE_PIXELS / side)
    # Small images fill their tile to the edge: without a gap their strokes would run together.
    return factor, max(BORDER_PIXELS, factor // 2)
