"""What becomes of a paper's claims here."""

from collections.abc import Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

from qhybrid.comparison.verdict import compare_values, interval
from qhybrid.reproduction.experiment import Claim, Experiment
from qhybrid.reproduction.figures import LOWER_IS_BETTER, Figures, shown_name

HOLDS, FAILS, UNKNOWN, NOT_RUN = (
    "holds here",
    "does not hold here",
    "cannot be told at this scale",
    "not run",
)

_OUTCOMES = {"better": HOLDS, "worse": FAILS}

Known = Mapping[tuple[str, str, int], Figures]
"""(Table, row, epoch) -> figures."""


def judge(
    experiment: Experiment, claim: Claim, figure: str, features: str, known: Known
) -> dict[str, Any]:
    """Return what becomes of a claim in one figure, as values that JSON has.

    Where the claim is on several pairs of rows, those count of which both have values; of each seed
    the mean over them counts, so that the spread is that between seeds.
    """

    def values(at: tuple[str, int]) -> dict[int, float]:
        return known.get((claim.table, *at), {}).get(figure, {})

    pairs = [pair for pair in claim.sides if all(map(values, pair))]
    said = {
        "text": claim.text,
        "table": claim.table,
        "epoch": claim.epoch,
        "figure": shown_name(figure, features),
        "first": list(claim.first),
        "second": None if claim.second is None else list(claim.second),
        "at_most": claim.at_most,
        "published": [
            _published(experiment, claim.table, side, figure)
            for side in zip(*claim.sides, strict=True)
        ],
        "compared": [first for (first, _), _ in pairs],
        "here": [None, None],
        "p": None,
        "seeds_needed": None,
    }
    if not pairs:
        rows = (row for row, _ in chain.from_iterable(claim.sides))
        missing = [experiment.rows[row].missing for row in rows]
        why = next((text for text in missing if text is not None), "there are no values yet")
        return {**said, "verdict": NOT_RUN, "why": why}
    first, second = (_by_seed([values(at) for at in side]) for side in zip(*pairs, strict=True))
    if not first or not second:
        return {**said, "verdict": NOT_RUN, "why": "no seed has values of all rows yet"}
    if claim.at_most is not None:
        return {**said, "here": [fmean(first), None], **_below(first, claim.at_most)}
    found = compare_values(first, second, lower_is_better=figure in LOWER_IS_BETTER)
    return {
        **said,
        "here": [fmean(first), fmean(second)],
        "p": found.p,
        "seeds_needed": found.seeds_needed,
        "verdict": _OUTCOMES.get(found.outcome, UNKNOWN),
        "why": found.sentence,
    }


def _by_seed(rows: Sequence[Mapping[int, float]]) -> list[float]:
    """Return the mean over rows of each seed that all of them have."""
    seeds = set.intersection(*map(set, rows))
    return [fmean([row[seed] for row in rows]) for seed in sorted(seeds)]


def _below(values: Sequence[float], limit: float) -> dict[str, str]:
    _, low, high = interval(values)
    verdict = HOLDS if high <= limit else FAILS if low > limit else UNKNOWN
    count = f"{len(values)} seed{'s' * (len(values) > 1)}"
    return {
        "verdict": verdict,
        "why": f"95 % interval of the mean {low:.3g} to {high:.3g}, {count}",
    }


def _published(
    experiment: Experiment, table: str, side: Sequence[tuple[str, int]], figure: str
) -> float | None:
    """Return the mean of the paper's figure over rows, None where it does not print all of them."""
    values = [experiment.published(table, row, epoch).get(figure) for row, epoch in side]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
