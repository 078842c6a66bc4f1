"""Train every hybrid and its classical twin at small scale, and measure what their circuits change.

    python docs/measure_influence.py FILE [--steps N] [--seeds N] [--models NAME ...]

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
from sklearn.datasets import load_digits

from qhybrid.influence import read_influence
from qhybrid.models.rows import CONTROL, HYBRIDS_WITH_CONTROL
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train

TRAINED = 1437
LEARNING_RATES = {"qvunet": 6e-3, "quanvunet": 6e-3}
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


def measured(model: str, seed: int, steps: int, folder: Path, dataset: Path) -> dict[str, object]:
    """Train a model and return what its circuits change."""
    kind = model.removesuffix(CONTROL).rpartition("-")[2]
    states = kind == "unet" and "bottleneck" in model
    config = load_config(
        overrides={
            "model.name": model,
            "data.dataset": str(dataset),
            "training.learning_rate": LEARNING_RATES.get(kind, OTHER_RATE),
            "training.epochs": 1000,
            "training.max_steps": steps,
            "training.checkpoint_every": 1000,
            "training.seed": seed,
            "training.device": "cpu",
            "sampling.num_images": 1,
            **({} if states else {"sampling.sampler": "ddim", "sampling.steps": 2}),
        }
    )
    record = read_influence(train(config, out=folder / f"{model}-{seed}"))
    if record is None:
        raise ValueError(f"{model} has no circuits")
    return {"model": model, "seed": seed, "steps": steps, **record.influence}


def interval(values: list[float], form: str) -> str:
    """Return the mean of some seeds, with the least and largest value."""
    return f"{mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def rows(found: list[dict[str, dict[str, float]]]) -> Iterator[str]:
    """Yield the lines of the table."""
    ways = ("mean", "shuffled", "random", "zero")
    yield "| model | figure | " + " | ".join(ways) + " |"
    yield "| --- | --- | " + " | ".join("---" for _ in ways) + " |"
    for hybrid in HYBRIDS_WITH_CONTROL:
        for model in (hybrid, hybrid + CONTROL):
            own = [each for each in found if each["model"] == model]
            for figure, scale, form in (("output", 1, ".1e"), ("loss", 100, "+.2f")) if own else ():
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
        folder = Path(temporary)
        dataset = split_digits(folder / "digits.npz")
        for seed in range(asked.seeds):
            for model in (name + end for name in asked.models for end in ("", CONTROL)):
                if (model, seed, asked.steps) not in known:
                    found.append(measured(model, seed, asked.steps, folder, dataset))
                    with asked.file.open("a") as file:
                        file.write(json.dumps(found[-1]) + "\n")
    print("\n".join(rows([each for each in found if each["steps"] == asked.steps])))


if __name__ == "__main__":
    main()
