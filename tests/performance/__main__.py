"""Prints the tables of docs/performance.md; run from the repository's root."""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from tests.performance import figures, gpu, ideas, launches, report, where
from tests.performance.cases import circuits
from tests.performance.figures import PAPER, SMALL, Sizes
from tests.performance.floor import describe, measure_floor
from tests.performance.timing import duration

#: Sections of the table of what each idea brings.
IDEAS: Mapping[str, Callable[[Sizes], Iterable[ideas.Gain]]] = {
    "engine-ideas": ideas.engine_gains,
    "call-ideas": lambda sizes: [
        ideas.sparse_gain(sizes),
        ideas.light_cone_gain(sizes),
        ideas.side_by_side_gain(sizes),
        ideas.structures_gain(sizes),
    ],
    "step-ideas": ideas.step_gains,
}


def main(arguments: list[str] | None = None) -> None:
    """Print the tables that were asked for, and put them into the page where one is named."""
    asked = _parse(arguments)
    # Peers warn of versions and of what they will rename; nothing of it is about their speed.
    warnings.simplefilter("ignore")
    command = " ".join(["python -m tests.performance", *(arguments or sys.argv[1:])])
    for name, run in BLOCKS.items():
        chosen = [section for section in asked.sections if section in PARTS[name]]
        if not chosen:
            continue
        others = report.OtherWork()
        text = run(chosen, asked)
        block = f"{text}\n\n`{command}`, {report.machine(others)}"
        sys.stdout.write(block + "\n\n")
        sys.stdout.flush()
        if asked.write:
            report.replace_block(asked.write, name, block)


def _figures(chosen: Sequence[str], asked: argparse.Namespace) -> str:
    rows: list[figures.Row] = []
    for name in chosen:
        run = figures.SECTIONS[name]
        if name == "stock":
            run = partial(figures.stock_rows, full=asked.full)
        rows += run(_sizes(asked))
    if asked.small:
        # The bars are for the paper's sizes.
        rows = [replace(row, bar="", met=None) for row in rows]
    return report.figures_table(rows)


def _floor(chosen: Sequence[str], asked: argparse.Namespace) -> str:
    sizes = _sizes(asked)
    return describe(measure_floor(circuits(sizes.small)["HQConv"], sizes.batch))


def _where(chosen: Sequence[str], asked: argparse.Namespace) -> str:
    sizes = _sizes(asked)
    size, batch = sizes.image
    engine = where.engine_lines(circuits(sizes.small)["HQConv"], sizes.batch)
    step = where.step_lines(batch, size)
    tables = {
        f"HQConv, value + VJP, batch {sizes.batch}": engine,
        f"unet, a training step, batch {batch}, {size}x{size}": step,
    }
    return "\n\n".join(
        report.markdown((name, "time", "rate"), lines) for name, lines in tables.items()
    )


def _ideas(chosen: Sequence[str], asked: argparse.Namespace) -> str:
    gains = [gain for name in chosen for gain in IDEAS[name](_sizes(asked))]
    lines = [
        (g.idea, duration(g.with_s), duration(g.without_s), f"{g.without_s / g.with_s:.2f}x")
        for g in gains
    ]
    return report.markdown(("idea", "with", "without", "gain"), lines)


def _launches(chosen: Sequence[str], asked: argparse.Namespace) -> str:
    return report.markdown(launches.HEADER, launches.lines(*(2,) if asked.small else (128, 1024)))


def _gpu(chosen: Sequence[str], asked: argparse.Namespace) -> str:
    table, others = "", report.OtherWork()
    for found in gpu.measure(gpu.SMALL if asked.small else gpu.PAPER):
        rows = [replace(row, bar="", met=None) for row in found.rows] if asked.small else found.rows
        seen = report.markdown(("part", "the GPU meanwhile"), found.smi.items())
        table = f"{report.figures_table(rows)}\n\n{seen}"
        gpu.write(found, asked.out, table, report.machine(others))
    return table


def _sizes(asked: argparse.Namespace) -> Sizes:
    return SMALL if asked.small else PAPER


#: What the page's blocks are made of, and made by.
PARTS = {
    "figures": tuple(figures.SECTIONS),
    "floor": ("floor",),
    "where": ("where",),
    "ideas": tuple(IDEAS),
    "launches": ("launches",),
    "gpu": ("gpu",),
}
BLOCKS = {
    "figures": _figures,
    "floor": _floor,
    "where": _where,
    "ideas": _ideas,
    "launches": _launches,
    "gpu": _gpu,
}
SECTIONS = tuple(section for parts in PARTS.values() for section in parts)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.performance", description=__doc__)
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help=f"any of {', '.join(SECTIONS)}; all but gpu if none",
    )
    parser.add_argument("--small", action="store_true", help="small circuits, to see that it works")
    parser.add_argument(
        "--full", action="store_true", help="measure a whole sample of all-stock classes, too"
    )
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="put the tables between the marks in this page"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        default=Path("."),
        help="where the section gpu writes gpu.md and gpu.json [.]",
    )
    asked = parser.parse_args(arguments)
    if unknown := set(asked.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    asked.sections = asked.sections or [name for name in SECTIONS if name != "gpu"]
    if "gpu" in asked.sections and not asked.small and not torch.cuda.is_available():
        parser.error("gpu needs a GPU, and torch finds none; rehearse it with --small on the CPU")
    if asked.write:
        for name, parts in PARTS.items():
            if 0 < len(set(parts) & set(asked.sections)) < len(parts):
                parser.error(
                    f"--write needs all of a table's sections: {', '.join(parts)} ({name})"
                )
    return asked


if __name__ == "__main__":
    main()
