"""Pictures in a terminal: sixels, half blocks in colour, or shades without."""

from collections.abc import Mapping
from itertools import groupby
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

_BAND = 6
"""Rows of pixels in a row of sixels."""

_CELL_PIXELS = 8
"""Width of a character, at least."""

_SIXEL_TERMS = ("foot", "mlterm", "contour", "yaft")
_SIXEL_PROGRAMS = ("WezTerm", "iTerm.app", "mintty")


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


def _read(path: Path, mode: str) -> Image.Image:
    with reading(f"'{path}' is not a readable picture", "draw it again"), Image.open(path) as file:
        return file.convert(mode)


def _pixels(path: Path, columns: int, *, rows_per_pixel: float, mode: str) -> NDArray[np.uint8]:
    image = _read(path, mode)
    width = min(columns, image.width)
    height = max(2, round(image.height * width / image.width * rows_per_pixel))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def sixel(path: Path, columns: int) -> str:
    """Return a picture as sixels (DEC VT340, STD 070), with up to 256 colours of its own.

    Its pixels are those of the picture, or fewer where `columns` have no place for them.
    """
    image = _read(path, "RGB")
    image.thumbnail((columns * _CELL_PIXELS, image.height))
    image = image.quantize(256)
    palette = np.asarray(image.getpalette() or [], dtype=int).reshape(-1, 3)
    indices = np.asarray(image)
    height, width = indices.shape
    parts = [f'\x1bP0;1q"1;1;{width};{height}']
    parts += [
        f"#{index};2;" + ";".join(str(round(level * 100 / 255)) for level in palette[index])
        for index in np.unique(indices)
    ]
    bands = [indices[top : top + _BAND] for top in range(0, height, _BAND)]
    rows = ("$".join(_sixel_row(band == i, i) for i in np.unique(band)) for band in bands)
    return "".join(parts) + "-".join(rows) + "\x1b\\"


def _sixel_row(filled: NDArray[np.bool_], index: int) -> str:
    """Return the pixels (6 or fewer, W) of one colour in a band; `!n` repeats a character."""
    bits = (filled * (1 << np.arange(len(filled)))[:, None]).sum(0)
    runs = ((chr(63 + value), len(list(same))) for value, same in groupby(bits.tolist()))
    return f"#{index}" + "".join(f"!{n}{sign}" if n > 3 else sign * n for sign, n in runs)


def shows_sixels(environment: Mapping[str, str]) -> bool:
    """Return whether a terminal is known to show sixels as it is delivered.

    It is not asked: an answer that comes late would be taken for something typed.
    """
    if environment.get("TMUX") or environment.get("STY"):
        return False
    name, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    return name.startswith(_SIXEL_TERMS) or program in _SIXEL_PROGRAMS
