import math

import pytest
import torch

from qhybrid.models.rows import CHEN, HO, VASWANI
from qhybrid.models.time_embedding import SinusoidalEmbedding, TimeEmbedding


def test_against_the_formula() -> None:
    embedded = SinusoidalEmbedding(10)(torch.tensor([0, 7, 999]))
    for row, time in zip(embedded.tolist(), (0, 7, 999), strict=True):
        angles = [time * 10_000 ** (-i / 4) for i in range(5)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert row == pytest.approx(expected, abs=1e-4)


def test_frequencies_without_the_last_one() -> None:
    """Those of the report on the wide U-Nets: t / 10000^(2 i / d) for i < d / 2."""
    embedded = SinusoidalEmbedding(128, frequencies=VASWANI)(torch.tensor([0, 7, 999]))
    for row, time in zip(embedded.tolist(), (0, 7, 999), strict=True):
        angles = [time / 10_000 ** (2 * i / 128) for i in range(64)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert row == pytest.approx(expected, abs=2e-4)


def test_against_equation_5_of_chen_et_al() -> None:
    """gamma(t) = [sin(t w_k), cos(t w_k)], w_k = 10000^(-2k/d), k = 1 to d/2; sines first here."""
    embedded = SinusoidalEmbedding(128, frequencies=CHEN)(torch.tensor([0, 7, 999]))
    for row, time in zip(embedded.tolist(), (0, 7, 999), strict=True):
        angles = [time * 10_000 ** (-2 * k / 128) for k in range(1, 65)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert row == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("frequencies", [HO, VASWANI, CHEN])
@pytest.mark.parametrize("features", [2, 3, 11])
def test_any_width(features: int, frequencies: str) -> None:
    embedded = SinusoidalEmbedding(features, frequencies=frequencies)(torch.tensor([3.0, 5.0]))
    assert embedded.shape == (2, features)
    assert torch.isfinite(embedded).all()
    assert not torch.equal(embedded[0], embedded[1])


def test_frequencies_are_not_saved() -> None:
    embedding = TimeEmbedding(10)
    assert all("weight" in name or "bias" in name for name in embedding.state_dict())
    assert sum(p.numel() for p in embedding.parameters()) == 2080
