"""Measure how often the verdicts of `qhybrid compare` are wrong, on small models.

    python docs/verdict_rates.py FOLDER [SEEDS] [OTHERS] [IMAGES]

trains a classical U-Net of width 8 on 8x8 digits for one epoch with SEEDS seeds (32), and one of
width 4 with OTHERS (16): the planted difference. With IMAGES, at least 100, that many images of
each run are evaluated too (0). Then 200 pairs of sets of 3, 4 and 5 runs are drawn from these
pools, and sets of as many as should tell the difference; the two sets of a pair are always of
different runs. A table of the shares that are called different is printed. What is trained and
evaluated already in FOLDER stays.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from qhybrid.comparison.evaluations import evaluate_missing
from qhybrid.comparison.figures import Figure, evaluation_figures, loss_figure
from qhybrid.comparison.models import find_models
from qhybrid.comparison.training_log import read_log
from qhybrid.comparison.verdict import compare_values
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.run_group import Group, is_group
from qhybrid.settings.sources import load_config
from qhybrid.training.seeds import train_seeds

SETTINGS = {
    "model.name": "unet",
    "training.epochs": 1,
    "training.device": "cpu",
    "sampling.num_images": 1,
    "sampling.steps": 10,
}
PAIRS = 200


def pool(folder: Path, width: int, seeds: int) -> Path:
    config = load_config(overrides={**SETTINGS, "model.dim": width})
    if not all(run.is_finished(config) for run in map(Group(folder).run, range(seeds))):
        train_seeds(config, seeds=seeds, out=folder, resume=is_group(folder))
    return folder


def shares(figure: Figure, seeds: int) -> tuple[int, int]:
    """Return how many pairs of equal models are called different, and of the others told."""
    first, second = map(np.array, figure.values)
    generator, lower = np.random.default_rng(seeds), figure.better == "lower"
    wrong = right = 0
    for _ in range(PAIRS):
        drawn = generator.permutation(first)
        ours, equal, other = drawn[:seeds], drawn[seeds : 2 * seeds], generator.permutation(second)
        wrong += compare_values(ours, equal, lower_is_better=lower).outcome != "cannot be told"
        right += compare_values(ours, other[:seeds], lower_is_better=lower).outcome == "better"
    return wrong, right


def shown(count: int) -> str:
    within = binomtest(count, PAIRS).proportion_ci()
    return f"{count / PAIRS:.1%} ({within.low:.1%} to {within.high:.1%})"


def main(folder: Path, seeds: int = 32, others: int = 16, images: int = 0) -> None:
    paths = [pool(folder / "width-8", 8, seeds), pool(folder / "width-4", 4, others)]
    models, _ = find_models(paths)
    for run in (each.run for model in models for each in model.seeds):
        if images:
            evaluate_missing(run, EvaluationRequest(num_images=images))
    logs = [[read_log(each.run) for each in model.seeds] for model in models]
    evaluated, _ = evaluation_figures(models)
    print("| figure | seeds | equal models called different | difference found | seeds to tell |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for figure in (loss_figure(models, logs), *evaluated):
        if figure.better is None:
            continue
        whole = compare_values(*figure.values, lower_is_better=figure.better == "lower")
        counts = [3, 4, 5, whole.seeds_needed or others]
        for per_model in sorted({count for count in counts if count <= min(seeds // 2, others)}):
            told = map(shown, shares(figure, per_model))
            print(f"| {figure.name} | {per_model} | {' | '.join(told)} | {whole.seeds_needed} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
