"""Tests of randomness by SciPy: each returns a p-value, small where numbers are not random."""

import numpy as np
from scipy import stats


def p_values_of_bits(bits: np.ndarray) -> dict[str, float]:
    """As many ones as zeros, bytes equally frequent, no correlation at 64 distances."""
    signs = 2.0 * bits - 1
    octets = np.packbits(bits[: len(bits) // 8 * 8])
    distances = range(1, 65)
    products = [float((signs[k:] * signs[:-k]).sum() ** 2 / (len(signs) - k)) for k in distances]
    return {
        "ones": float(stats.binomtest(int(bits.sum()), len(bits)).pvalue),
        "bytes": float(stats.chisquare(np.bincount(octets, minlength=256)).pvalue),
        "correlation": float(stats.chi2.sf(sum(products), len(products))),
    }


def p_values_of_numbers(numbers: np.ndarray) -> dict[str, float]:
    """The distribution is the standard normal one, and neighbours have nothing in common."""
    return {
        "Kolmogorov-Smirnov": float(stats.kstest(numbers, "norm").pvalue),
        "Cramer-von Mises": float(stats.cramervonmises(numbers, "norm").pvalue),
        "kurtosis": float(stats.kurtosistest(numbers).pvalue),
        "neighbours": float(stats.pearsonr(numbers[1:], numbers[:-1]).pvalue),
    }


def assert_random(p_values: dict[str, float]) -> None:
    """A sound source fails this for one seed in about 300."""
    assert min(p_values.values()) > 1e-3, p_values
