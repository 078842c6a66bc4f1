"""Functions of vectors, against numpy in double precision, and how kernels are compiled."""

import numpy as np
import pytest
from numba.core.caching import CacheImpl

from qhybrid_runtime.engine.cpu.compiler import compiled
from qhybrid_runtime.engine.cpu.lanes import (
    LANES,
    exp,
    largest,
    load,
    load_from,
    maximum,
    splat_from,
    sqrt,
    store,
    store_from,
    total,
)


@compiled
def _each(x, y, powers, roots, largers, sums, tops):  # type: ignore[no-untyped-def]
    for index in range(len(x) // LANES):
        left, right = load(x, index), load(y, index)
        store(powers, index, exp(left))
        store(roots, index, sqrt(right))
        store(largers, index, maximum(left, right))
        sums[index], tops[index] = total(left), largest(left)


@pytest.fixture
def found(rng: np.random.Generator) -> dict[str, np.ndarray]:
    x = rng.uniform(-87, 87, 1000 * LANES).astype(np.float32)
    x[:LANES] = [0, -0.0, 87, -87, 1e-8, -1e-8, np.log(2) / 2, -np.log(2) / 2, *range(8)]
    y = rng.uniform(0, 9, len(x)).astype(np.float32)
    results = [np.empty_like(x) for _ in range(3)] + [np.empty(1000, np.float32) for _ in range(2)]
    _each(x, y, *results)
    names = ("x", "y", "exp", "sqrt", "maximum", "total", "largest")
    return dict(zip(names, (x, y, *results), strict=True))


def test_exponentials_are_right_to_two_units_in_the_last_place(
    found: dict[str, np.ndarray],
) -> None:
    exact = np.exp(found["x"].astype(float))
    units = np.abs(found["exp"] - exact) / np.spacing(exact.astype(np.float32))
    assert units.max() < 2
    assert found["exp"][0] == found["exp"][1] == 1


def test_very_negative_exponents_are_taken_for_the_least() -> None:
    x = np.array([-87, -88, -1e4, -1e30, -np.inf, -200, -1000, -3e38] * 2, np.float32)
    results = [np.empty_like(x) for _ in range(3)] + [np.empty(1, np.float32) for _ in range(2)]
    _each(x, np.ones_like(x), *results)
    assert (results[0] == results[0][0]).all()
    assert 0 < results[0][0] < 2e-38


def test_what_is_not_a_number_stays_so() -> None:
    x = np.full(LANES, np.nan, np.float32)
    results = [np.empty_like(x) for _ in range(3)] + [np.empty(1, np.float32) for _ in range(2)]
    _each(x, x, *results)
    assert np.isnan(results[0]).all()


def test_other_functions_are_numpys(found: dict[str, np.ndarray]) -> None:
    x, y = found["x"], found["y"]
    np.testing.assert_array_equal(found["sqrt"], np.sqrt(y))
    np.testing.assert_array_equal(found["maximum"], np.maximum(x, y))
    rows = x.reshape(-1, LANES)
    np.testing.assert_array_equal(found["largest"], rows.max(axis=1))
    np.testing.assert_allclose(found["total"], rows.sum(axis=1, dtype=float), rtol=0, atol=1e-4)


@compiled
def _shift(source, distance, factors, target):  # type: ignore[no-untyped-def]
    for at in range(0, len(source) - distance - LANES + 1, LANES):
        product = load_from(source, at + distance) * splat_from(factors, distance)
        store_from(target, at, product)


@pytest.mark.parametrize("distance", [0, 1, 7, LANES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_begin_anywhere(distance: int, dtype: type, rng: np.random.Generator) -> None:
    source, factors = rng.normal(size=4 * LANES).astype(dtype), np.arange(20, dtype=dtype)
    target = np.zeros_like(source)
    _shift(source, distance, factors, target)
    whole = (len(source) - distance) // LANES * LANES
    np.testing.assert_array_equal(target[:whole], source[distance:][:whole] * factors[distance])
    assert not target[whole:].any()


def test_kernels_are_compiled_where_no_folder_can_be_written_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @compiled
    def twice(number: int) -> int:
        return 2 * number

    assert twice(21) == 42
