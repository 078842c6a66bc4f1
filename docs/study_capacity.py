"""Measure how the images of qlatent get better with qubits, layers and circuits.

    python docs/study_capacity.py FOLDER DATASET [--steps N] [--seeds N] [--only NAME ...]
        [--most-qubits N]

trains qlatent of each size, and its classical twin, with several seeds; those of as many latents
share one autoencoder. It prints the table of models.md and draws docs/images/capacity.png. What is
trained and evaluated already in FOLDER stays.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from qhybrid.comparison.evaluations import evaluate_missing, run_figures
from qhybrid.data.load import load_dataset
from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.models.model_file import read_spec
from qhybrid.models.row import CONTROL
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run
from qhybrid.run_group import Group, is_group
from qhybrid.settings.sources import load_config
from qhybrid.training.seeds import train_seeds
from qhybrid.training.train import train

PICTURE = Path(__file__).parent / "images" / "capacity.png"
IMAGES, DRAWS, SAMPLER_STEPS = 2000, 8, 8
CIRCUIT, TWIN, CEILING = "qlatent", "qlatent" + CONTROL, "latent-mlp"


@dataclass(frozen=True)
class Size:
    """A size of the denoiser: qubits, and latents; layers; circuits side by side."""

    qubits: int = 12
    layers: int = 3
    circuits: int = 1


PANELS = {
    "qubits": [Size(qubits=n) for n in (4, 8, 12, 16)],
    "layers": [Size(layers=n) for n in (2, 3, 5)],
    "circuits": [Size(circuits=n) for n in (1, 2, 4)],
}
"""What is varied -> the sizes that are compared, of 12 qubits, 3 layers and 1 circuit otherwise."""


@dataclass(frozen=True)
class Quality:
    """What was measured of a model: one value a seed.

    Attributes:
        weights: Of the denoiser.
        loss: On the test images.
        distance: Classifier-FID of the drawn images.
    """

    weights: int
    loss: list[float]
    distance: list[float]


def settings(dataset: str, model: str, size: Size, steps: int) -> dict[str, Any]:
    """Return what a run is trained with."""
    sized = {"model.ansatz_layers": size.layers, "model.circuits": size.circuits}
    return {
        "model.name": model,
        "model.dim": size.qubits,
        **({} if model == CEILING else sized),
        "data.dataset": dataset,
        "training.max_steps": steps,
        "training.device": "cpu",
    }


def autoencoder_of(folder: Path, dataset: str, qubits: int) -> Run:
    """Return the run that has the autoencoder of as many latents; it is trained where missing."""
    run = Run(folder / f"autoencoder-{qubits}")
    config = load_config(overrides=settings(dataset, CEILING, Size(qubits), 1))
    if not run.is_finished(config):
        train(config, out=run.folder)
    return run


def trained(folder: Path, dataset: str, model: str, size: Size, asked: argparse.Namespace) -> Group:
    """Train what is missing of a model's seeds, and draw and evaluate their images."""
    group = Group(folder / f"{model}-{size.qubits}-{size.layers}-{size.circuits}")
    config = load_config(
        overrides={
            **settings(dataset, model, size, asked.steps),
            "transfer.init_from": str(autoencoder_of(folder, dataset, size.qubits).folder),
        }
    )
    if not all(run.is_finished(config) for run in map(group.run, range(asked.seeds))):
        train_seeds(config, seeds=asked.seeds, out=group.folder, resume=is_group(group.folder))
    for seed in range(asked.seeds):
        evaluate_missing(group.run(seed), request())
    return group


def request() -> EvaluationRequest:
    """Return how the images are measured."""
    return EvaluationRequest(num_images=IMAGES, steps=SAMPLER_STEPS)


def distance(run: Run) -> float:
    """Return the classifier-FID of a run's images."""
    figures = run_figures(run)[0].items()
    return next(found.value for each, found in figures if each.name == "classifier-FID")


@torch.no_grad()
def measured(group: Group, dataset: str) -> Quality:
    """Return what a model's runs are worth."""
    images, losses, distances = load_dataset(dataset, split="test").tensor(), [], []
    for run in group.runs():
        model = load_model(run.folder)
        process = read_spec(run.folder).row.process.build(
            run.config().diffusion.schedule_spec, run.config().diffusion.weighting
        )
        latents = process.encode(model, images)
        labels = torch.zeros(len(latents), dtype=torch.long)
        draws = map(torch.Generator().manual_seed, range(DRAWS))
        own = [process.loss(model, latents, labels, draw, GaussianNoise()) for draw in draws]
        losses.append(float(torch.stack(own).mean()))
        distances.append(distance(run))
    return Quality(sum(each.numel() for each in model.vertex.parameters()), losses, distances)


def interval(values: list[float], form: str) -> str:
    """Return the mean of some seeds, with the least and largest value."""
    return "{:{form}} ({:{form}} to {:{form}})".format(
        mean(values), min(values), max(values), form=form
    )


def rows(found: dict[tuple[str, Size], Quality]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| model | qubits | layers | circuits | weights | loss | classifier-FID |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for (model, size), each in found.items():
        sizes = (size.qubits, *(("", "") if model == CEILING else (size.layers, size.circuits)))
        figures = (interval(each.loss, ".3f"), interval(each.distance, ".1f"))
        cells = (f"`{model}`", *sizes, f"{each.weights:,}", *figures)
        yield "| " + " | ".join(map(str, cells)) + " |"


def draw(found: dict[tuple[str, Size], Quality]) -> None:
    """Draw both figures of all models against what is varied."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(PANELS), sharey="row", squeeze=False)
    for column, (varied, sizes) in enumerate(PANELS.items()):
        for model, mark in ((CIRCUIT, "o-"), (TWIN, "s--"), (CEILING, "^:")):
            own = [(getattr(size, varied), found.get((model, size))) for size in sizes]
            known = [(x, each) for x, each in own if each is not None]
            for axis, name in zip(axes[:, column], ("distance", "loss"), strict=True):
                values = [(x, getattr(each, name)) for x, each in known]
                if not values:
                    continue
                at = [x for x, _ in values]
                (line,) = axis.plot(at, [mean(y) for _, y in values], mark, label=model)
                low, high = [min(y) for _, y in values], [max(y) for _, y in values]
                axis.fill_between(at, low, high, alpha=0.2, color=line.get_color())
        axes[1, column].set_xlabel(varied)
        for axis in axes[:, column]:
            axis.set_xticks([getattr(size, varied) for size in sizes])
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_yticks([3, 5, 10, 20], ["3", "5", "10", "20"])
    axes[0, 0].yaxis.set_minor_formatter("")
    axes[0, 0].set_ylabel("classifier-FID")
    axes[1, 0].set_ylabel("loss on test images")
    axes[0, 0].legend()
    figure.savefig(PICTURE, dpi=110)


def main(arguments: list[str] | None = None) -> None:
    """Train and measure what is missing, then print the table and draw the figure."""
    parser = argparse.ArgumentParser(description="Measure how quality grows with the circuit.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[CIRCUIT, TWIN, CEILING])
    parser.add_argument("--most-qubits", type=int, default=16, help="leave larger circuits out")
    asked = parser.parse_args(arguments)
    sizes = dict.fromkeys(size for panel in PANELS.values() for size in panel)
    found = {}
    for size in sorted(sizes, key=lambda size: size.qubits):
        if size.qubits > asked.most_qubits:
            continue
        for model in asked.only:
            if model != CEILING or size == Size(size.qubits):
                group = trained(asked.folder, asked.dataset, model, size, asked)
                found[model, size] = measured(group, asked.dataset)
                print(f"{model} {size}: {found[model, size]}", file=sys.stderr)
    print("\n".join(rows(found)))
    draw(found)


if __name__ == "__main__":
    main()
