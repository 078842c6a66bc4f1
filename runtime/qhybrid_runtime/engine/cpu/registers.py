# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Registers: groups of amplitudes in and out of the cache, and registers joined to larger ones.

An amplitude is two vectors of `LANES` samples: number i has its real part at vector 2*i, its
imaginary part at 2*i + 1. So has a matrix entry, also where all samples share it. Kernels release
the GIL and write only to the arrays handed to them: any number of threads may run them at once.

Names: `state` is |psi>, `costate` is what the derivative of the loss with respect to <psi| is
carried back in, `cached` is the part of a state that a group of gates acts on.
"""

from numba import njit

from qhybrid_runtime.engine.cpu.lanes import load, store

compiled = njit(cache=True, nogil=True, error_model="numpy")


@compiled
def spread_bits(index, places):
    """Return `index` with a zero inserted at each of the bits `places`, ascending."""
    for bit in places:
        low = (1 << bit) - 1
        index = ((index & ~low) << 1) | (index & low)
    return index


@compiled
def group_offsets(places, offsets):
    """Fill in the register's index of each index within a group on the bits `places`."""
    for index in range(1 << len(places)):
        offset = 0
        for bit in range(len(places)):
            offset |= ((index >> bit) & 1) << places[bit]
        offsets[index] = offset


@compiled
def gather(state, first, offsets, count, cached):
    """Copy the amplitudes of a group from the register."""
    for index in range(count):
        source = 2 * (first + offsets[index])
        store(cached, 2 * index, load(state, source))
        store(cached, 2 * index + 1, load(state, source + 1))


@compiled
def scatter(cached, first, offsets, count, state):
    """Copy the amplitudes of a group back."""
    for index in range(count):
        target = 2 * (first + offsets[index])
        store(state, target, load(cached, 2 * index))
        store(state, target + 1, load(cached, 2 * index + 1))


@compiled
def join(state, low, low_bits, high, high_bits, joined):
    """Write the product of two registers' states as the state of a third."""
    for j in range(1 << high_bits):
        yr, yi = load(state, 2 * (high + j)), load(state, 2 * (high + j) + 1)
        for i in range(1 << low_bits):
            xr, xi = load(state, 2 * (low + i)), load(state, 2 * (low + i) + 1)
            target = 2 * (joined + (j << low_bits) + i)
            store(state, target, xr * yr - xi * yi)
            store(state, target + 1, xr * yi + xi * yr)


@compiled
def unjoin(state, costate, low, low_bits, high, high_bits, joined):
    """Carry a joined register's co-state back to the two registers it was made of."""
    zero = load(state, 2 * low) - load(state, 2 * low)
    for i in range(1 << (low_bits + 1)):
        store(costate, 2 * low + i, zero)
    for j in range(1 << high_bits):
        yr, yi = load(state, 2 * (high + j)), load(state, 2 * (high + j) + 1)
        real, imag = zero, zero
        for i in range(1 << low_bits):
            source, target = 2 * (joined + (j << low_bits) + i), 2 * (low + i)
            cr, ci = load(costate, source), load(costate, source + 1)
            xr, xi = load(state, target), load(state, target + 1)
            real += cr * xr + ci * xi
            imag += ci * xr - cr * xi
            store(costate, target, load(costate, target) + (cr * yr + ci * yi))
            store(costate, target + 1, load(costate, target + 1) + (ci * yr - cr * yi))
        store(costate, 2 * (high + j), real)
        store(costate, 2 * (high + j) + 1, imag)
