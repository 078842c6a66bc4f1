"""Train every hybrid and its classical twin at small scale, and measure what their circuits change.

    python docs/measure_influence.py FILE [--steps N] [--seeds N] [--models NAME[@VARIANT] ...]

prints the table of models.md. Every run's figures are kept in FILE, as lines of JSON, so that
another call goes on where one was ended. The images are scikit-learn's 8x8 digits, 1,437 to train
on and 360 others to measure on.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import numpy as np
from rich.console import Console
from sklearn.datasets import load_digits
from torch import nn

from qhybrid.fabric import Fabric
from qhybrid.models.row import CONTROL
from qhybrid.models.rows import HYBRIDS_WITH_CONTROL, MODELS
from qhybrid.run_folder import Run
from qhybrid.settings.sources import load_config
from qhybrid.training.influence import Probe, held_out
from qhybrid.training.loop import fit
from qhybrid.training.preparing import prepare
from qhybrid.training.session import Session, build_session

TRAINED = 1437
LEARNING_RATES = {"qvunet": 6e-3, "quanvunet": 6e-3}
"""By the end of a model's name: the defaults, which suit the narrow models."""
OTHER_RATE = 1e-3


def split_digits(path: Path) -> Path:
    """Write the digits as a file with test images."""
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    parts = {"train": order[:TRAINED], "test": order[TRAINED:]}
    arrays = {f"{name}_images": images[part] for name, part in parts.items()}
    np.savez(path, **arrays, **{f"{k}_labels": bunch.target[part] for k, part in parts.items()})
    return path


def twin(model: str) -> str:
    """Return NAME-control@VARIANT of NAME@VARIANT."""
    name, at, variant = model.partition("@")
    return name + CONTROL + at + variant


def trained(model: str, rate: float, seed: int, steps: int, dataset: Path) -> Session:
    """Train a model, without a run folder; one that has settings of its own keeps them."""
    name, _, variant = model.partition("@")
    batches = {"training.batch_size": 16, "training.learning_rate": rate}
    config = load_config(
        overrides={
            "model.name": name,
            **({"model.variant": variant} if variant else {}),
            "data.dataset": str(dataset),
            **({} if MODELS[name].settings else batches),
            "training.epochs": 1000,
            "training.max_steps": steps,
            "training.seed": seed,
            "training.device": "cpu",
        }
    )
    session = build_session(config)
    with tempfile.TemporaryDirectory() as folder:
        images = prepare(Run(Path(folder)), session, Console(quiet=True))
    fabric = Fabric(accelerator="cpu", devices=1)
    fit(fabric, session.state, session.batches(images), (), clip=config.training.gradient_clip)
    session.state.ema.copy_to(session.state.model)
    return session


def influence_of(
    session: Session, places: list[nn.Module] | None = None
) -> dict[str, dict[str, float | None]]:
    """Return what the circuits, or other parts of the model, change on the test images."""
    module = session.state.module
    held = held_out(session.config.data, session.dataset, module)
    found, _ = Probe(module, held, places).influence(draw=False)
    return found.to_dict()


def measured(model: str, seed: int, steps: int, dataset: Path) -> dict[str, object]:
    """Train a model and return what its circuits change."""
    kind = model.partition("@")[0].removesuffix(CONTROL).rpartition("-")[2]
    session = trained(model, LEARNING_RATES.get(kind, OTHER_RATE), seed, steps, dataset)
    return {"model": model, "seed": seed, "steps": steps, **influence_of(session)}


def interval(values: list[float], form: str) -> str:
    """Return the mean of some seeds, with the least and largest value."""
    # Read again, so that what is rounded to 0 has no minus sign.
    shown = (float(f"{each:{form}}") + 0.0 for each in (mean(values), min(values), max(values)))
    return "{:{form}} ({:{form}} to {:{form}})".format(*shown, form=form)


def rows(found: list[dict[str, dict[str, float]]], hybrids: list[str]) -> Iterator[str]:
    """Yield the lines of the table of these models."""
    ways = ("mean", "shuffled", "random", "zero")
    yield "| model | figure | " + " | ".join(ways) + " |"
    yield "| --- | --- | " + " | ".join("---" for _ in ways) + " |"
    for hybrid in hybrids:
        for model in (hybrid, twin(hybrid)):
            own = [each for each in found if each["model"] == model]
            for figure, scale, form in (("output", 1, ".1e"), ("loss", 100, "+.3f")) if own else ():
                cells = [interval([scale * each[w][figure] for each in own], form) for w in ways]
                unit = ", %" if scale == 100 else ""
                yield f"| `{model}` | {figure}{unit} | " + " | ".join(cells) + " |"


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description="Measure the influence of circuits.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="*", default=list(HYBRIDS_WITH_CONTROL))
    asked = parser.parse_args(arguments)
    lines = asked.file.read_text().splitlines() if asked.file.exists() else []
    found = [json.loads(line) for line in lines]
    known = {(each["model"], each["seed"], each["steps"]) for each in found}
    with tempfile.TemporaryDirectory() as temporary:
        dataset = split_digits(Path(temporary) / "digits.npz")
        for seed in range(asked.seeds):
            for model in (each for name in asked.models for each in (name, twin(name))):
                if (model, seed, asked.steps) not in known:
                    found.append(measured(model, seed, asked.steps, dataset))
                    with asked.file.open("a") as file:
                        file.write(json.dumps(found[-1]) + "\n")
    of_steps = [each for each in found if each["steps"] == asked.steps]
    print("\n".join(rows(of_steps, asked.models)))


if __name__ == "__main__":
    main()
