"""Pictures in a page: which of many, and small enough that the page stays small."""

import base64
import io
from pathlib import Path

from PIL import Image

from qhybrid.diffusion.tiles import tile_sizes
from qhybrid.files import reading

_QUALITIES = (None, 80, 50)
"""Of WebP, from the best on; None is without loss."""

_AGAIN = "delete it"


def data_address(picture: Image.Image, most: int) -> str:
    """Return a picture as an address that holds all of it, WebP of at most `most` bytes.

    It loses quality where it must, and then size.
    """
    while True:
        for quality in _QUALITIES:
            held = io.BytesIO()
            picture.save(held, "WEBP", lossless=quality is None, quality=quality or 80)
            if held.tell() <= most or max(picture.size) <= 8:
                return f"data:image/webp;base64,{base64.b64encode(held.getvalue()).decode()}"
        picture = picture.reduce(2)


def read_picture(path: Path) -> Image.Image:
    """Read a picture file as RGB.

    Raises:
        RequestError: It is none.
    """
    with reading(f"'{path}' is not a readable picture", _AGAIN), Image.open(path) as file:
        return file.convert("RGB")


def spread_out(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `count`: the first, the last, even steps."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def denoising_strip(animation: Path, side: int, rows: int, columns: int) -> Image.Image:
    """Return the first images of an animated grid as rows, with time to the right.

    Args:
        animation: The GIF of a sampling run.
        side: Of an image, in its own pixels.
        rows: Images, at most: those of the grid's first row.
        columns: Frames, at most; they are spread over all.

    Raises:
        RequestError: The file is no animation.
    """
    factor, border = tile_sizes(side)
    tile = factor * side + border
    frames = []
    unreadable = f"'{animation}' is not a readable animation"
    with reading(unreadable, _AGAIN), Image.open(animation) as file:
        for number in spread_out(getattr(file, "n_frames", 1), columns):
            file.seek(number)
            frames.append(file.convert("RGB"))
    rows = max(1, min(rows, frames[0].width // tile))
    strip = Image.new("RGB", (len(frames) * tile + border, rows * tile + border))
    for column, frame in enumerate(frames):
        for row in range(rows):
            # With the border on all sides; that between tiles is drawn twice.
            image = frame.crop((row * tile, 0, (row + 1) * tile + border, tile + border))
            strip.paste(image, (column * tile, row * tile))
    return strip
