import math

import numpy as np
import pytest
from scipy import stats

from qhybrid.comparison.verdict import LEVEL, POWER, compare_values, interval
from qhybrid_circuits.errors import RequestError
from tests.selection import thorough

FIRST, SECOND = [1.0, 1.1, 1.25], [1.6, 1.4, 1.55, 1.7]


def test_the_test_and_the_interval_are_scipys() -> None:
    found = compare_values(FIRST, SECOND, lower_is_better=True, level=0.1)
    test = stats.ttest_ind(FIRST, SECOND, equal_var=False)
    assert found.p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.9)))
    assert found.difference == pytest.approx(np.mean(FIRST) - np.mean(SECOND))
    assert found.seeds == (3, 4)


@pytest.mark.parametrize(
    ("first", "second", "lower_is_better", "outcome"),
    [
        (FIRST, SECOND, True, "better"),
        (FIRST, SECOND, False, "worse"),
        (SECOND, FIRST, True, "worse"),
        (FIRST, [1.05, 1.2, 1.3], True, "cannot be told"),
        (FIRST, FIRST, False, "cannot be told"),
    ],
)
def test_outcomes(
    first: list[float], second: list[float], lower_is_better: bool, outcome: str
) -> None:
    found = compare_values(first, second, lower_is_better=lower_is_better)
    assert found.outcome == outcome
    assert (found.low <= 0 <= found.high) == (outcome == "cannot be told")
    assert found.sentence.startswith(f"{outcome}")


def test_one_seed_tells_nothing_however_far_it_is() -> None:
    found = compare_values([1.0], [100.0, 101.0], lower_is_better=True)
    assert found.outcome == "cannot be told"
    assert found.p is None
    assert found.seeds_needed is None
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert "one seed does not show" in found.sentence


@pytest.mark.filterwarnings("error")
def test_one_model_may_have_equal_seeds() -> None:
    found = compare_values([1.0, 1.0, 1.0], SECOND, lower_is_better=True)
    assert found.p == pytest.approx(stats.ttest_1samp(SECOND, 1.0).pvalue)


@pytest.mark.parametrize("second", [[0.5, 0.5], [1.0, 1.0 + 1e-15]])
def test_nothing_is_told_where_no_seeds_differ(second: list[float]) -> None:
    found = compare_values([1.0, 1.0, 1.0], second, lower_is_better=True)
    assert found.outcome == "cannot be told"
    assert "neither model's seeds differ" in found.sentence


@pytest.mark.parametrize("seeds", [3, *thorough([2, 5])])
@pytest.mark.parametrize("skewed", [False, True])
def test_equal_models_are_rarely_called_different(seeds: int, skewed: bool) -> None:
    generator = np.random.default_rng(seeds)
    draw = generator.exponential if skewed else generator.standard_normal
    told = sum(
        compare_values(*draw(size=(2, seeds)), lower_is_better=True).outcome != "cannot be told"
        for _ in range(300)
    )
    # With 5 % of errors, a count of 22 or more is had in 5 % of the cases; at 2 %, never.
    assert told < 22


def test_as_many_seeds_as_are_said_to_be_needed_tell_the_difference() -> None:
    found = compare_values([0.0, 1.0, 2.0], [0.0, 3.0, 4.5], lower_is_better=True)
    needed, generator = found.seeds_needed, np.random.default_rng(0)
    assert found.outcome == "cannot be told"
    assert needed is not None

    def power(seeds: int) -> float:
        first = generator.normal(1.0, np.std([0.0, 1.0, 2.0], ddof=1), (20_000, seeds))
        second = generator.normal(2.5, np.std([0.0, 3.0, 4.5], ddof=1), (20_000, seeds))
        tests = stats.ttest_ind(first, second, axis=1, equal_var=False)
        return float((tests.pvalue < LEVEL).mean())

    assert f"about {needed} seeds" in found.sentence
    # Welch's test is a little off its level where spreads differ.
    assert power(needed) > POWER - 0.01
    assert power(needed - 1) < POWER + 0.01


@pytest.mark.parametrize("scale", [1.0, 1e9])
def test_a_huge_difference_needs_two_or_three_seeds(scale: float) -> None:
    found = compare_values(
        [0.0, 1e-3], [100 * scale, 100 * scale + 1e-3], lower_is_better=True, level=0.01
    )
    assert found.seeds_needed == 2


def test_no_number_of_seeds_tells_models_apart_that_have_one_mean() -> None:
    found = compare_values([1.0, 2.0], [2.0, 1.0], lower_is_better=True)
    assert found.seeds_needed is None
    assert "more than 1,000 seeds" in found.sentence


def test_the_interval_is_students() -> None:
    mean, low, high = interval(SECOND)
    expected = stats.t.interval(0.95, 3, np.mean(SECOND), stats.sem(SECOND))
    assert mean == pytest.approx(np.mean(SECOND))
    assert (low, high) == pytest.approx(expected)
    assert interval([2.0]) == (2.0, -math.inf, math.inf)


@pytest.mark.parametrize("wrong", [[], [math.nan, 1.0], [math.inf, 1.0]])
def test_what_is_no_value_is_refused(wrong: list[float]) -> None:
    with pytest.raises(RequestError, match="`second` must have finite values"):
        compare_values(FIRST, wrong, lower_is_better=True)
    with pytest.raises(RequestError, match="`first` must have finite values"):
        compare_values(wrong, FIRST, lower_is_better=True)


def test_a_level_is_a_probability() -> None:
    with pytest.raises(RequestError, match="between 0 and 1"):
        compare_values(FIRST, SECOND, lower_is_better=True, level=5)
