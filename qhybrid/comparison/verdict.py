"""Whether one model is better than another, as far as a few seeds of each can tell."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Literal

from qhybrid_circuits.errors import RequestError

LEVEL = 0.02
"""Probability that equal models are called different.

Below the 5 % that are promised, since Welch's test is exact for normally distributed values only;
docs/comparison.md has the rates measured on trained models.
"""

POWER = 0.8
"""Probability with which `seeds_needed` seeds tell a difference."""

MOST_SEEDS = 1000

Outcome = Literal["better", "worse", "cannot be told"]


@dataclass(frozen=True)
class Verdict:
    """What values of two models, one per seed, say about them.

    Attributes:
        outcome: Of the first against the second.
        difference: First mean minus second.
        low: Lower end of the interval of the difference, which misses it with probability `level`;
            -inf where a model has one seed.
        high: Upper end; inf where a model has one seed.
        p: Of Welch's test: the probability of such a difference, or a larger one, between equal
            models; None where a model has one seed, or neither has any spread.
        seeds: Of the first model and of the second.
        seeds_needed: Seeds per model with which a difference that is truly as large as this one is
            told with probability `POWER`; None where a model has one seed, or no number up to
            `MOST_SEEDS` would do.
        level: Probability that equal models are called different.
    """

    outcome: Outcome
    difference: float
    low: float
    high: float
    p: float | None
    seeds: tuple[int, int]
    seeds_needed: int | None
    level: float

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        counts = "{} and {} seeds".format(*self.seeds)
        if min(self.seeds) < 2:
            return (
                f"cannot be told from {counts}: one seed does not show how much seeds differ; "
                "train two or more of each model"
            )
        if self.p is None:
            return f"cannot be told from {counts}: neither model's seeds differ"
        found = (
            f"difference {self.difference:.3g}, {100 * (1 - self.level):.3g} % interval "
            f"{self.low:.3g} to {self.high:.3g}, p = {self.p:.2g}"
        )
        if self.outcome != "cannot be told":
            return f"{self.outcome}, from {counts}: {found}"
        number = "more than" if self.seeds_needed is None else "about"
        needed = f"{number} {self.seeds_needed or MOST_SEEDS:,} seeds each"
        return f"cannot be told from {counts}: {found}; {needed} would tell such a difference"


def compare_values(
    first: Sequence[float],
    second: Sequence[float],
    *,
    lower_is_better: bool,
    level: float = LEVEL,
) -> Verdict:
    """Return whether a model's values, one per seed, are better than another's.

    Welch's t-test (Biometrika 34, 1947) decides: it does not assume that both models spread alike.
    Of pairs of equal models, at most a share of `level` is called different in the long run. Where
    neither model has any spread there is nothing to measure a difference against, and nothing is
    told.

    Raises:
        RequestError: A model has no value, or one that is not finite, or `level` is not between 0
            and 1.
    """
    first, second = _finite(first, "first"), _finite(second, "second")
    if not 0 < level < 1:
        raise RequestError(f"argument `level` must be between 0 and 1, but is {level}")
    difference = _mean(first) - _mean(second)
    seeds = (len(first), len(second))
    if min(seeds) < 2:
        return Verdict("cannot be told", difference, -inf, inf, None, seeds, None, level)
    if not (_spread(first) or _spread(second)):
        ends = difference, difference
        return Verdict("cannot be told", difference, *ends, None, seeds, None, level)
    from scipy.stats import ttest_ind

    with warnings.catch_warnings():
        # Said of a model whose seeds are all equal; the other's spread is what counts then.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        test = ttest_ind(first, second, equal_var=False)
    within = test.confidence_interval(1 - level)
    outcome: Outcome = "cannot be told"
    if test.pvalue < level:
        outcome = "better" if (difference < 0) == lower_is_better else "worse"
    needed = _seeds_needed(difference, _variance(first), _variance(second), level)
    ends = float(within.low), float(within.high)
    return Verdict(outcome, difference, *ends, float(test.pvalue), seeds, needed, level)


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean over seeds and the ends of its interval by Student's t, which has `level`.

    The ends are infinite for one value.
    """
    mean = _mean(values)
    if len(values) < 2:
        return mean, -inf, inf
    from scipy.stats import t

    error = sqrt(_variance(values) / len(values))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean, mean - half, mean + half


def _seeds_needed(difference: float, first: float, second: float, level: float) -> int | None:
    """Return the seeds per model that tell a difference between models of these variances."""
    import numpy as np
    from scipy.stats import nct, t

    seeds = np.arange(2, MOST_SEEDS + 1)
    # Welch and Satterthwaite's degrees of freedom, for as many seeds of both.
    freedom = (seeds - 1) * (first + second) ** 2 / (first**2 + second**2)
    shift = abs(difference) / np.sqrt((first + second) / seeds)
    # The other tail adds nothing here; shifts beyond 1,000 are certain, and might overflow.
    power = nct.sf(t.isf(level / 2, freedom), freedom, np.minimum(shift, 1000))
    enough = seeds[power >= POWER]
    return int(enough[0]) if len(enough) else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _spread(values: Sequence[float]) -> bool:
    """Return whether values differ by more than their last digits."""
    return max(values) - min(values) > 1e-12 * max(map(abs, values))


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _finite(values: Sequence[float], name: str) -> list[float]:
    found = [float(value) for value in values]
    if not found or not all(map(isfinite, found)):
        raise RequestError(
            f"argument `{name}` must have finite values, at least one, but is {found}; leave out "
            "seeds without a value"
        )
    return found
