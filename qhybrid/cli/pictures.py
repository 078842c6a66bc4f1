"""Pictures as text: half blocks in colour, or shades without."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qhybrid.files import reading, user_path
from qhybrid.run_folder import open_run
from qhybrid_circuits.errors import RequestError

_SHADES = " .:-=+*#%@"

_HIGH = 0.5
"""Width of a character by its height, about."""


def picture_of(place: Path) -> Path:
    """Return the picture that a PNG file is, or the newest one of a run or a sampling.

    Raises:
        RequestError: There is none.
    """
    place = user_path(place)
    if place.suffix == ".png" and place.is_file():
        return place
    if (place / "grid.png").is_file():
        return place / "grid.png"
    run = open_run(place)
    found = run.newest_grid()
    if found is None:
        raise RequestError(
            f"the run '{run.folder}' has no picture yet: the first one is drawn after an epoch, or "
            f"by `qhybrid sample {run.folder}`"
        )
    return found


def colored(path: Path, columns: int) -> str:
    """Return a picture as half blocks, two pixels a character, with 24-bit colours."""
    pixels = _pixels(path, columns, rows_per_pixel=1.0, mode="RGB")
    pixels = pixels[: len(pixels) // 2 * 2]
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀"
            for a, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def shaded(path: Path, columns: int) -> str:
    """Return a picture as characters that are the denser the brighter it is."""
    pixels = _pixels(path, columns, rows_per_pixel=_HIGH, mode="L")
    levels = pixels.astype(int) * (len(_SHADES) - 1) // 255
    return "\n".join("".join(_SHADES[level] for level in row).rstrip() for row in levels)


def _pixels(path: Path, columns: int, *, rows_per_pixel: float, mode: str) -> NDArray[np.uint8]:
    with reading(f"'{path}' is not a readable picture", "draw it again"), Image.open(path) as file:
        image = file.convert(mode)
    width = min(columns, image.width)
    height = max(2, round(image.height * width / image.width * rows_per_pixel))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))
