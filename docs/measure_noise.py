"""Measure how fast a backend makes quantum noise, and test it with SciPy.

python docs/measure_noise.py [BACKEND ...] [--numbers N] [--entangled]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats

from qhybrid_runtime.randomness.coins import BitSource
from qhybrid_runtime.randomness.cost import STATE_QUBITS, STATES
from qhybrid_runtime.randomness.factory import bit_source
from qhybrid_runtime.randomness.normal import normal_numbers

BACKENDS = ("statevector", "aer", "aer:fake_fez", "fake_fez")
BATCH = 2048


def seconds(call: Callable[[], object]) -> float:
    """Return the shortest of three times."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def p_values(bits: np.ndarray, numbers: np.ndarray) -> list[float]:
    """Bytes equally frequent, no correlation of bits at distances 1 to 64, numbers normal."""
    octets = np.bincount(np.packbits(bits), minlength=256)
    signs = 2.0 * bits - 1
    sums = [float((signs[k:] * signs[:-k]).sum() ** 2 / (len(bits) - k)) for k in range(1, 65)]
    return [
        float(stats.chisquare(octets).pvalue),
        float(stats.chi2.sf(sum(sums), len(sums))),
        float(stats.kstest(numbers, "norm").pvalue),
    ]


def row(name: str, source: BitSource, count: int) -> str:
    """Return a line of the table."""
    bits = source.bits(24 * count, 0)
    numbers = normal_numbers(bits).double().numpy()
    fast = count / seconds(lambda: normal_numbers(source.bits(24 * count, 1)))
    batch = seconds(lambda: normal_numbers(source.bits(24 * BATCH, 1)))
    tested = " | ".join(f"{value:.3f}" for value in p_values(bits, numbers))
    return f"| `{name}` | {fast:,.0f} | {1e3 * batch:.1f} ms | {tested} |"


def entangled_row(state: str, name: str, count: int) -> str:
    """Return a line on the numbers that 24 shots make on 12 qubits: all of them, and in pairs."""
    bits = bit_source(name, state=state).bits(24 * count, 0)
    numbers = normal_numbers(bits).double().numpy()
    groups = numbers[: count // STATE_QUBITS * STATE_QUBITS].reshape(-1, STATE_QUBITS)
    pairs = np.triu_indices(STATE_QUBITS, 1)
    ranks = np.abs(np.corrcoef(stats.rankdata(groups, axis=0).T)[pairs])
    covariance = np.cov(groups.T)
    effective = np.trace(covariance) ** 2 / (covariance**2).sum()
    fitting = np.median([stats.kstest(column, "norm").pvalue for column in groups.T])
    sums = np.var(groups.mean(axis=1)) * STATE_QUBITS
    figures = (fitting, ranks.max(), ranks.mean(), effective, sums)
    return f"| `{state or 'coins'}` | `{name}` | {' | '.join(f'{x:.2f}' for x in figures)} |"


def print_entangled(names: list[str], count: int) -> None:
    """Print a Markdown table of what entanglement does to the distribution."""
    print("| state | backend | K-S | largest | mean | effective | of the mean |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for state in ("", *STATES):
        for name in names:
            print(entangled_row(state, name, count))


def main(arguments: list[str] | None = None) -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description="Measure and test quantum noise.")
    parser.add_argument("backends", nargs="*", default=list(BACKENDS))
    parser.add_argument("--numbers", type=int, default=100_000)
    parser.add_argument("--entangled", action="store_true")
    asked = parser.parse_args(arguments)
    numbers = asked.numbers
    if asked.entangled:
        print_entangled(asked.backends, numbers)
        return
    torch_seconds = seconds(lambda: torch.randn(numbers))
    print(f"| backend | numbers per second | {BATCH} numbers | bytes | correlation | K-S |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in asked.backends:
        print(row(name, bit_source(name), numbers))
    print(f"| `torch.randn` | {numbers / torch_seconds:,.0f} | | | | |")


if __name__ == "__main__":
    main()
