"""What the page of a run shows of its training and of what it draws."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qhybrid.kinds import IMAGES
from qhybrid.models.model_file import read_spec
from qhybrid.models.rows import MODELS
from qhybrid.report.curves import Curves, Series, draw_curves
from qhybrid.report.pictures import data_address, denoising_strip, read_picture, spread_out
from qhybrid.report.sections import Section
from qhybrid.run_folder import Run
from qhybrid.run_metrics import (
    FIGURE,
    HELD_OUT,
    INFLUENCE,
    newest_evaluation,
    read_metrics,
    read_series,
)
from qhybrid.settings.config import Config

_MOST_GRIDS = 6
"""Epochs whose grids are shown: the first, the last and some between."""

_STRIP_ROWS, _STRIP_FRAMES = 4, 9


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        title: Above it.
        image: Its address, which holds all of it.
        text: What is seen, for those who do not see it.
    """

    title: str
    image: str
    text: str


@dataclass(frozen=True)
class Part:
    """One part of the page, below a heading.

    Attributes:
        title: The heading.
        curves: Diagrams, each with a title where there are several.
        pictures: Pictures side by side, or one below the other where they are `wide`.
        wide: Whether a picture takes the whole width.
        note: How to read it; or, where there is nothing to show, how to get it.
    """

    title: str
    curves: tuple[tuple[str, Curves], ...] = ()
    pictures: tuple[Picture, ...] = ()
    wide: bool = False
    note: str = ""


@dataclass(frozen=True)
class RunPage:
    """What the page shows of a run beside its circuits and figures.

    Attributes:
        tiles: Numbers with what they are.
        parts: In order.
        tables: Further tables.
    """

    tiles: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    tables: tuple[Section, ...]


def run_page(run: Run, *, picture_bytes: int) -> RunPage:
    """Return what there is of a run, also of one of an earlier version.

    Args:
        run: A run that has a model.
        picture_bytes: Of all pictures together, at most.

    Raises:
        RequestError: A file of the run is damaged.
    """
    rows, series = read_metrics(run.metrics_file), read_series(run)
    config = run.config()
    model = MODELS[config.model.name]
    kind = model.process.kind
    parts = [_loss(run, rows)]
    if kind.evaluated:
        parts.append(_figures(run, series))
    if (model.circuits or model.control) and not model.alone:
        parts.append(_influence(rows))
    if kind is IMAGES:
        parts += _images(run, picture_bytes)
    else:
        parts.append(_fidelity(run, picture_bytes))
    tables = (*_evaluation(run), _settings(config))
    return RunPage(tuple(_tiles(rows, series)), tuple(parts), tables)


def _tiles(rows: list[dict[str, str]], series: Mapping[str, Any]) -> list[tuple[str, str]]:
    losses = [float(row["loss"]) for row in rows if row["loss"]]
    found = [(f"{losses[-1]:.4g}", "last training loss")] if losses else []
    if rows:
        found.append((f"{int(rows[-1]['step']):,}", f"steps, {rows[-1]['epoch']} epochs"))
    for name, points in list(series.items())[:1]:
        found.append((f"{points[-1][1]['value']:.4g}", f"{name}, last epoch"))
    return found


def _loss(run: Run, rows: list[dict[str, str]]) -> Part:
    series, least = [], math.inf
    for column, name in (("loss", "training"), (HELD_OUT, "held out, averaged weights")):
        x, y = _points(rows, column, "step")
        if y:
            series.append(Series(name, x, y))
            least = min(least, *y)
    if not series:
        command = f"qhybrid train --resume --out {run.folder}"
        return Part("Training loss", note=f"Nothing is logged in metrics.csv yet: {command}")
    logarithmic = least > 0
    note = "By optimizer step" + (", logarithmic." if logarithmic else ".")
    drawn = draw_curves(series, label="Loss by step", note=note, logarithmic=logarithmic)
    return Part("Training loss", (("", drawn),))


def _figures(run: Run, series: Mapping[str, list[tuple[int, dict[str, float]]]]) -> Part:
    title, found = "Figures by epoch", []
    for name, points in series.items():
        epochs = [epoch for epoch, _ in points]
        low, value, high, floor = ([each[key] for _, each in points] for key in FIGURE)
        drawn = [
            Series("drawn images, with 95 % interval", epochs, value, (low, high)),
            Series("real images", epochs, floor, dashed=True),
        ]
        found.append((name, draw_curves(drawn, label=f"{name} by epoch")))
    note = (
        "Measured while the model was trained."
        if found
        else "Nothing was measured in training: qhybrid train --evaluate-every N does so; "
        f"qhybrid evaluate {run.folder} measures a finished run, and stands further below."
    )
    return Part(title, tuple(found), note=note)


def _influence(rows: list[dict[str, str]]) -> Part:
    title, (x, y) = "Influence by epoch", _points(rows, INFLUENCE, "epoch")
    if not y:
        return Part(title, note="Runs of earlier versions have no log of it; train anew to see it.")
    series, logarithmic = [Series("change of the output", x, y)], min(y) > 0
    note = (
        f"By epoch{', logarithmic' * logarithmic}: how much the output changes, of its size, when "
        "all circuits, or their controls, say their mean."
    )
    drawn = draw_curves(
        series, label="Influence of the circuits by epoch", note=note, logarithmic=logarithmic
    )
    return Part(title, (("", drawn),))


def _points(rows: list[dict[str, str]], column: str, by: str) -> tuple[list[float], list[float]]:
    """Return where a column has finite numbers, and these."""
    pairs = [(float(row[by]), float(row[column])) for row in rows if row.get(column)]
    finite = [pair for pair in pairs if all(map(math.isfinite, pair))]
    return [x for x, _ in finite], [y for _, y in finite]


def _images(run: Run, picture_bytes: int) -> list[Part]:
    """Return the parts with images, which share the bytes there are for them."""
    grids = sorted(run.samples.glob("epoch-*.png"), key=lambda path: (len(path.name), path.name))
    drawn = max(run.samplings.glob("*/grid.png"), key=_time, default=None)
    shown = [grids[index] for index in spread_out(len(grids), _MOST_GRIDS)]
    found = [(f"epoch {int(path.stem.rpartition('-')[2])}", path) for path in shown]
    if drawn is not None:
        found.append((drawn.parent.name, drawn))
    animation = max(run.samplings.glob("*/denoising.gif"), key=_time, default=None)
    most = picture_bytes // (len(found) + 2)
    images = tuple(
        Picture(title, data_address(read_picture(path), most), f"Images drawn: {title}")
        for title, path in found
    )
    note = "The same noise in every epoch." if images else ""
    note = note or f"None are drawn yet: qhybrid sample {run.folder}"
    parts = [Part("Images by epoch", pictures=images, note=note)]
    if animation is None:
        hint = f"Drawing images keeps it: qhybrid sample {run.folder}"
        parts.append(Part("From noise to images", note=hint))
    else:
        side = read_spec(run.folder).image_size
        strip = denoising_strip(animation, side, _STRIP_ROWS, _STRIP_FRAMES)
        seen = "Images from noise, on the left, to what is drawn"
        image = Picture("", data_address(strip, most), seen)
        note = f"Time runs from left to right; {animation.parent.name}."
        parts.append(Part("From noise to images", pictures=(image,), wide=True, note=note))
    if run.forward_plot.is_file():
        seen = "Training images with more and more noise"
        image = Picture("", data_address(read_picture(run.forward_plot), most), seen)
        parts.append(Part("Forward diffusion", pictures=(image,), wide=True))
    return parts


def _fidelity(run: Run, picture_bytes: int) -> Part:
    if not run.fidelity_plot.is_file():
        return Part("Fidelity", note="It is drawn at the end of an epoch.")
    text = "How noise is added to quantum states and removed"
    image = Picture("", data_address(read_picture(run.fidelity_plot), picture_bytes), text)
    return Part("Fidelity", pictures=(image,), wide=True)


def _time(path: Path) -> float:
    return path.stat().st_mtime


def _evaluation(run: Run) -> list[Section]:
    """Return the figures of the newest evaluation of images that the run drew."""
    newest = newest_evaluation(run)
    if newest is None:
        return []
    path, found = newest
    rows = tuple(
        (
            each["name"],
            f"{each['value']:.4g}",
            f"{each['low']:.4g} to {each['high']:.4g}",
            f"{each['floor']:.4g}",
        )
        for each in found
    )
    images = {f"{each['images']:,} images" for each in found}
    note = f"{', '.join(sorted(images))} of {path.parent.parent.name}"
    headings = ("figure", "drawn images", "95 % interval", "real images")
    return [Section("Figures of drawn images", headings, rows, 1, (note,))]


def _settings(config: Config) -> Section:
    training = config.training
    rows = (
        ("data", str(config.data.dataset)),
        ("backend", config.quantum.backend),
        ("batch size", f"{training.batch_size * training.accumulate:,}"),
        ("learning rate", f"{training.learning_rate:g}, {training.lr_schedule}"),
        ("seed", str(training.seed)),
        ("sampler", f"{config.sampling.sampler}, {config.sampling.steps} steps"),
    )
    return Section("How it was trained", ("setting", "value"), rows, 2, ("All: config.toml",))
