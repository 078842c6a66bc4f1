# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Kernels for what is measured: expectation values, and the co-state that they start."""

from qhybrid_runtime.engine.cpu.compiler import compiled, kernel
from qhybrid_runtime.engine.cpu.lanes import (
    LANES,
    add_to,
    load,
    load_complex,
    splat,
    store,
    store_complex,
)

#: Amplitudes that are added up to one number.
ADDED_AT_ONCE = 1 << 10


@kernel
def measure(state, final, observed, values, start, stop):
    """Add amplitudes `start` to `stop` of the last register, which is at `final`, to the values.

    `observed` are `ObservableTables` in the bit order of that register; `values` holds one vector
    an observable.
    """
    diagonal, moves, rows, phases = observed
    count = diagonal.shape[1]
    for k in range(start, stop):
        xr, xi = load_complex(state, 2 * (final + k))
        probability = xr * xr + xi * xi
        for row in range(count):
            store(values, row, load(values, row) + splat(diagonal[k, row]) * probability)
    for move, first, last in moves:
        for k in range(start, stop):
            source, target = 2 * (final + k), 2 * (final + (k ^ move))
            xr, xi = load_complex(state, source)
            yr, yi = load_complex(state, target)
            real, imag = yr * xr + yi * xi, yr * xi - yi * xr
            for index in range(first, last):
                pr, pi = splat(phases[index, k, 0]), splat(phases[index, k, 1])
                row = rows[index]
                store(values, row, load(values, row) + (pr * real - pi * imag))


@compiled
def measure_precisely(state, final, observed, values, part, start, stop):
    """Do what `measure` does, from values of zero, by sums of parts that are not long.

    A single precision sum over many amplitudes loses digits. `part` is room for values.
    """
    values[:] = 0
    for first in range(start, stop, ADDED_AT_ONCE):
        part[:] = 0
        measure(state, final, observed, part, first, min(first + ADDED_AT_ONCE, stop))
        for row in range(len(values) // LANES):
            store(values, row, load(values, row) + load(part, row))


@compiled
def start_costate(state, final, observed, cotangents, costate, start, stop):
    """Write amplitudes `start` to `stop` of 2 * sum_i c_i O_i |state>.

    The cotangents c are one vector an observable; the other arguments are those of `measure`.
    """
    diagonal, moves, rows, phases = observed
    count = diagonal.shape[1]
    for k in range(start, stop):
        xr, xi = load_complex(state, 2 * (final + k))
        weight = xr - xr
        for row in range(count):
            weight += splat(diagonal[k, row]) * load(cotangents, row)
        weight += weight
        store_complex(costate, 2 * (final + k), weight * xr, weight * xi)
    for move, first, last in moves:
        for k in range(start, stop):
            # A string moves k XOR `move` to k.
            source, target = k ^ move, 2 * (final + k)
            xr, xi = load_complex(state, 2 * (final + source))
            real, imag = xr - xr, xr - xr
            for index in range(first, last):
                cotangent = load(cotangents, rows[index])
                cotangent += cotangent
                real += splat(phases[index, source, 0]) * cotangent
                imag += splat(phases[index, source, 1]) * cotangent
            add_to(costate, target, real * xr - imag * xi, real * xi + imag * xr)
