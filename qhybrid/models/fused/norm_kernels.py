# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Kernels for group normalization with SiLU, 16 positions of a feature map at a time.

All arrays are contiguous and one-dimensional, of single precision. `x` is (B, C, P) with P
positions, at least `LANES`, whose last vector overlaps the one before where P is no multiple of
`LANES`. `first` and `last` are the images to go through.
"""

import numpy as np

from qhybrid_runtime.engine.cpu.compiler import compiled, kernel
from qhybrid_runtime.engine.cpu.lanes import (
    LANES,
    exp,
    load_from,
    maximum,
    splat,
    store_from,
    total,
)


@kernel
def sigmoid(x):
    """Return 1 / (1 + e^-x)."""
    one = splat(np.float32(1))
    return one / (one + exp(splat(np.float32(0)) - maximum(x, splat(np.float32(-87)))))


@kernel
def unshared(count):
    """Return 1 in those lanes of the last of `count` numbers' vectors that no other vector has."""
    lanes = np.zeros(LANES, np.float32)
    lanes[(LANES - count) % LANES :] = 1
    return lanes


@kernel
def mean_power(x, start, count, own, mean, squared):
    """Return the mean of `count` differences from a number, or of their squares."""
    middle = splat(mean)
    whole = splat(np.float32(0))
    for place in range(0, count, LANES):
        at = min(place, count - LANES)
        value = load_from(x, start + at) - middle
        if at < place:
            value = value * load_from(own, 0)
        whole += value * value if squared else value
    return total(whole) / np.float32(count)


@compiled
def activate(x, factors, offsets, sizes, epsilon, means, rates, result, first, last):
    """Write SiLU(factor * normalized x + offset), (B, C, P).

    Args:
        x, first, last: As for all kernels.
        factors, offsets: (B, C).
        sizes: C, groups of channels, P.
        epsilon: What is added to variances.
        means, rates: To be written, (B, groups); rates are 1 / sqrt(variance + epsilon).
        result: (B, C, P).
    """
    channels, groups, positions = sizes
    inside = channels // groups
    count = inside * positions
    own = unshared(count)
    for group in range(first * groups, last * groups):
        start = group * count
        mean = mean_power(x, start, count, own, np.float32(0), False)
        variance = mean_power(x, start, count, own, mean, True)
        rate = np.float32(1 / np.sqrt(variance + epsilon))
        means[group], rates[group] = mean, rate
        for c in range(group * inside, (group + 1) * inside):
            factor, offset = splat(factors[c] * rate), splat(offsets[c])
            for place in range(0, positions, LANES):
                at = c * positions + min(place, positions - LANES)
                value = (load_from(x, at) - splat(mean)) * factor + offset
                store_from(result, at, value * sigmoid(value))


@compiled
def activate_back(
    x, factors, offsets, sizes, means, rates, gradient, by_x, by_factors, by_offsets, first, last
):
    """Write gradients of `activate`, given that by its result, (B, C, P).

    Args:
        x, factors, offsets, sizes, means, rates, first, last: Those of `activate`.
        gradient, by_x: (B, C, P).
        by_factors, by_offsets: (B, C).
    """
    channels, groups, positions = sizes
    inside = channels // groups
    count = np.float32(inside * positions)
    own = unshared(positions)
    one = splat(np.float32(1))
    for group in range(first * groups, last * groups):
        mean, rate = splat(means[group]), splat(rates[group])
        along, across = np.float32(0), np.float32(0)
        for c in range(group * inside, (group + 1) * inside):
            factor, offset = splat(factors[c]), splat(offsets[c])
            whole = splat(np.float32(0))
            weighted = whole
            for place in range(0, positions, LANES):
                inner = min(place, positions - LANES)
                at = c * positions + inner
                normal = (load_from(x, at) - mean) * rate
                value = normal * factor + offset
                share = sigmoid(value)
                slope = load_from(gradient, at) * share * (one + value * (one - share))
                store_from(by_x, at, slope)
                if inner < place:
                    slope = slope * load_from(own, 0)
                whole += slope
                weighted += slope * normal
            by_offsets[c], by_factors[c] = total(whole), total(weighted)
            across += factors[c] * by_offsets[c]
            along += factors[c] * by_factors[c]
        across, along = across / count, along / count
        for c in range(group * inside, (group + 1) * inside):
            factor = splat(factors[c] * rates[group])
            full = (c + 1) * positions - positions % LANES
            for at in range(c * positions, full, LANES):
                normal = (load_from(x, at) - mean) * rate
                rest = (splat(across) + normal * splat(along)) * rate
                store_from(by_x, at, load_from(by_x, at) * factor - rest)
            for at in range(full, (c + 1) * positions):
                normal_one = (x[at] - means[group]) * rates[group]
                rest_one = (across + normal_one * along) * rates[group]
                by_x[at] = by_x[at] * factors[c] * rates[group] - rest_one
