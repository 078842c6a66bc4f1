import numpy as np
import pytest
from randomness_checks import assert_random, p_values_of_numbers
from scipy import stats

from qhybrid_runtime.randomness.normal import normal_numbers


def test_a_number_is_the_quantile_that_its_bits_spell() -> None:
    words = np.array([0, 1, 2**23 - 1, 2**23, 12_345_678, 2**24 - 1])
    bits = (words[:, None] >> np.arange(23, -1, -1) & 1).astype(np.uint8).reshape(-1)
    expected = stats.norm.ppf((words + 0.5) / 2**24)
    np.testing.assert_allclose(normal_numbers(bits).numpy(), expected, rtol=1e-6, atol=1e-7)
    assert expected[-1] == pytest.approx(-expected[0]) == pytest.approx(5.42, abs=0.01)


def test_fair_bits_make_normal_numbers(rng: np.random.Generator) -> None:
    bits = rng.integers(0, 2, 24 * 200_000, dtype=np.uint8)
    assert_random(p_values_of_numbers(normal_numbers(bits).double().numpy()))


def test_unfair_bits_do_not(rng: np.random.Generator) -> None:
    bits = (rng.random(24 * 200_000) < 0.505).astype(np.uint8)
    p_values = p_values_of_numbers(normal_numbers(bits).double().numpy())
    assert p_values["Kolmogorov-Smirnov"] < 1e-6


def test_no_bits_make_no_numbers() -> None:
    assert normal_numbers(np.empty(0, np.uint8)).shape == (0,)
