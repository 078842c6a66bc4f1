"""A drawing of how fidelities change over the steps of a diffusion."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from qhybrid.files import replacing
from qhybrid_circuits.errors import ShapeError

_WIDTH, _HEIGHT = 720, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 46, 56
_COLOURS = ((90, 90, 90), (214, 96, 20), (30, 100, 180), (40, 140, 70))
_PALE = 0.22

Curve = Sequence[float]
Band = tuple[Sequence[float], Sequence[float]]


def save_fidelity_figure(
    curves: Mapping[str, Curve],
    path: str | Path,
    *,
    bands: Mapping[str, Band] | None = None,
    label: str = "step",
) -> None:
    """Save fidelities over steps as a PNG file.

    Args:
        curves: Label -> fidelities in [0, 1] at step 0, 1, ...; all of one length.
        path: The file to write or replace.
        bands: Label of a curve -> its lower and upper bound, drawn as an area.
        label: What is written below the axis of steps.

    Raises:
        ShapeError: There is no curve, or they differ in length or have fewer than two points.

    Example:
        >>> from qhybrid.states import save_fidelity_figure
        >>> save_fidelity_figure({"forward": [1.0, 0.7, 0.5]}, "fidelity.png")
    """
    lengths = {len(curve) for curve in curves.values()}
    lengths |= {len(bound) for band in (bands or {}).values() for bound in band}
    if len(lengths) != 1 or min(lengths) < 2:
        raise ShapeError(
            "Argument `curves` must hold curves of one length, at least 2, but their lengths are "
            f"{sorted(lengths)}"
        )
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    last = lengths.pop() - 1
    colours = dict(zip(curves, _COLOURS * len(curves), strict=False))
    for name, (low, high) in (bands or {}).items():
        outline = [_place(i, v, last) for i, v in enumerate(low)]
        outline += [_place(i, v, last) for i, v in reversed(list(enumerate(high)))]
        red, green, blue = (round(255 - _PALE * (255 - level)) for level in colours[name])
        draw.polygon(outline, fill=(red, green, blue))
    _draw_axes(draw, last, label)
    for index, (name, curve) in enumerate(curves.items()):
        points = [_place(i, v, last) for i, v in enumerate(curve)]
        draw.line(points, fill=colours[name], width=3)
        for x, y in points:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colours[name])
        x = _LEFT + index * (_WIDTH - _LEFT - _RIGHT) / len(curves)
        draw.line((x, 24, x + 24, 24), fill=colours[name], width=3)
        draw.text((x + 32, 24), name, fill="black", font=_font(), anchor="lm")
    with replacing(Path(path)) as unfinished:
        image.save(unfinished, format="PNG")


def _draw_axes(draw: ImageDraw.ImageDraw, last: int, label: str) -> None:
    for tenth in range(0, 11, 2):
        x, y = _place(0, tenth / 10, last)
        draw.line((x, y, _WIDTH - _RIGHT, y), fill=(225, 225, 225))
        draw.text((x - 10, y), f"{tenth / 10:.1f}", fill="black", font=_font(), anchor="rm")
    for step in range(0, last + 1, max(1, last // 10)):
        x, y = _place(step, 0, last)
        draw.line((x, y, x, y + 5), fill="black")
        draw.text((x, y + 8), str(step), fill="black", font=_font(), anchor="mt")
    x, y = _place(0, 0, last)
    draw.line((x, _TOP, x, y, _WIDTH - _RIGHT, y), fill="black")
    draw.text((_WIDTH / 2, _HEIGHT - 8), label, fill="black", font=_font(), anchor="ms")


def _place(step: int, fidelity: float, last: int) -> tuple[float, float]:
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    return _LEFT + width * step / last, _TOP + height * (1 - min(max(fidelity, 0.0), 1.0))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(15)
