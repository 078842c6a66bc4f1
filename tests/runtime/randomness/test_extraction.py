from collections import Counter
from itertools import product

import numpy as np
import pytest
from randomness_checks import assert_random, p_values_of_bits

from qhybrid_runtime.randomness.extraction import unbiased_bits


@pytest.mark.parametrize("length", [2, 3, 5, 8, 11])
def test_outputs_of_one_length_are_equally_likely(length: int) -> None:
    """Over all sequences, weighted with their probability, for a coin that shows 1 at 0.8."""
    chances: Counter[str] = Counter()
    for sequence in product((0, 1), repeat=length):
        output = unbiased_bits(np.array(sequence, dtype=np.uint8)[:, None])
        ones = sum(sequence)
        chances["".join(map(str, output))] += 0.8**ones * 0.2 ** (length - ones)
    assert sum(chances.values()) == pytest.approx(1)
    for size in {len(output) for output in chances}:
        likelihoods = [chances["".join(output)] for output in product("01", repeat=size)]
        np.testing.assert_allclose(likelihoods, likelihoods[0], rtol=1e-12)


def test_pairs_that_differ_give_their_first_bit() -> None:
    assert unbiased_bits(np.array([[0, 1], [1, 0]])).tolist() == [0, 1]
    assert unbiased_bits(np.array([[1], [1]])).size == 0


@pytest.mark.parametrize("share", [0.5, 0.35, 0.9])
def test_yields_nearly_the_entropy(share: float, rng: np.random.Generator) -> None:
    reads = (rng.random((100_000, 4)) < share).astype(np.uint8)
    bits = unbiased_bits(reads)
    assert_random(p_values_of_bits(bits))
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert 0.75 < len(bits) / reads.size / entropy < 1


def test_qubits_that_read_the_same_every_time_give_nothing() -> None:
    reads = np.stack([np.zeros(1000), np.ones(1000)], axis=1).astype(np.uint8)
    assert unbiased_bits(reads).size == 0
    assert unbiased_bits(np.empty((0, 3), np.uint8)).size == 0
