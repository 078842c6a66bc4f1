# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Registers: groups of amplitudes in and out of the cache, and registers joined to larger ones.

An amplitude is two vectors of `LANES` samples: number i has its real part at vector 2*i, its
imaginary part at 2*i + 1. So has a matrix entry, also where all samples share it. Kernels release
the GIL and write only to the arrays handed to them: any number of threads may run them at once.

Names: `state` is |psi>, `costate` is what the derivative of the loss with respect to <psi| is
carried back in, `cached` and `cocached` are the parts of them that a group of gates acts on.
"""

from qhybrid_runtime.engine.cpu.compiler import kernel
from qhybrid_runtime.engine.cpu.lanes import add_to, load, load_complex, store, store_complex


@kernel
def spread_bits(index, places):
    """Return `index` with a zero inserted at each of the bits `places`, ascending."""
    for bit in places:
        low = (1 << bit) - 1
        index = ((index & ~low) << 1) | (index & low)
    return index


@kernel
def group_offsets(places, offsets):
    """Fill in the register's index of each index within a group on the bits `places`."""
    for index in range(1 << len(places)):
        offset = 0
        for bit in range(len(places)):
            offset |= ((index >> bit) & 1) << places[bit]
        offsets[index] = offset


@kernel
def gather(state, first, offsets, count, cached):
    """Copy the amplitudes of a group from the register."""
    for index in range(count):
        source = 2 * (first + offsets[index])
        store_complex(cached, 2 * index, *load_complex(state, source))


@kernel
def scatter(cached, first, offsets, count, state):
    """Copy the amplitudes of a group back."""
    for index in range(count):
        target = 2 * (first + offsets[index])
        store_complex(state, target, *load_complex(cached, 2 * index))


@kernel
def join(state, step):
    """Write the product of two registers' states as the state of a third; see `JoinStep`."""
    _, low, low_bits, high, high_bits, joined, _ = step
    for j in range(1 << high_bits):
        yr, yi = load_complex(state, 2 * (high + j))
        for i in range(1 << low_bits):
            xr, xi = load_complex(state, 2 * (low + i))
            target = 2 * (joined + (j << low_bits) + i)
            store_complex(state, target, xr * yr - xi * yi, xr * yi + xi * yr)


@kernel
def unjoin(state, costate, step):
    """Carry a joined register's co-state back to the two registers it was made of."""
    _, low, low_bits, high, high_bits, joined, _ = step
    zero = load(state, 2 * low) - load(state, 2 * low)
    for i in range(1 << (low_bits + 1)):
        store(costate, 2 * low + i, zero)
    for j in range(1 << high_bits):
        yr, yi = load_complex(state, 2 * (high + j))
        real, imag = zero, zero
        for i in range(1 << low_bits):
            source, target = 2 * (joined + (j << low_bits) + i), 2 * (low + i)
            cr, ci = load_complex(costate, source)
            xr, xi = load_complex(state, target)
            real += cr * xr + ci * xi
            imag += ci * xr - cr * xi
            add_to(costate, target, cr * yr + ci * yi, ci * yr - cr * yi)
        store_complex(costate, 2 * (high + j), real, imag)
