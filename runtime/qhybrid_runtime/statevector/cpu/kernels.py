# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""The sweeps over amplitudes, compiled by numba.

An amplitude is two vectors of `LANES` samples: number i has its real part at vector 2*i, its
imaginary part at 2*i + 1. So has a matrix entry, also where all samples share it. Kernels release
the GIL and write only to the arrays handed to them: any number of threads may run them at once.

Names: `state` is |psi>, `costate` is what the derivative of the loss with respect to <psi| is
carried back in, `cached` is the part of a state that a group of gates acts on.
"""

from numba import njit

from qhybrid_runtime.statevector.cpu.lanes import load, store

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
def apply_pairs(cached, bases, offset, matrix, at):
    """Apply the 2x2 matrix whose coefficients start at `at` to the pairs (base, base + offset)."""
    ar, ai, br, bi = (
        load(matrix, at),
        load(matrix, at + 1),
        load(matrix, at + 2),
        load(matrix, at + 3),
    )
    cr, ci = load(matrix, at + 4), load(matrix, at + 5)
    dr, di = load(matrix, at + 6), load(matrix, at + 7)
    for base in bases:
        zero, one = 2 * base, 2 * (base + offset)
        xr, xi = load(cached, zero), load(cached, zero + 1)
        yr, yi = load(cached, one), load(cached, one + 1)
        store(cached, zero, ar * xr - ai * xi + br * yr - bi * yi)
        store(cached, zero + 1, ar * xi + ai * xr + br * yi + bi * yr)
        store(cached, one, cr * xr - ci * xi + dr * yr - di * yi)
        store(cached, one + 1, cr * xi + ci * xr + dr * yi + di * yr)


@compiled
def apply_rows(cached, bases, offsets, matrix, at, product):
    """Apply a matrix of any size to the amplitudes base + offsets; `product` is scratch."""
    rows = len(offsets)
    for base in bases:
        for row in range(rows):
            entry = at + 2 * rows * row
            source = 2 * (base + offsets[0])
            mr, mi = load(matrix, entry), load(matrix, entry + 1)
            xr, xi = load(cached, source), load(cached, source + 1)
            real, imag = mr * xr - mi * xi, mr * xi + mi * xr
            for column in range(1, rows):
                source = 2 * (base + offsets[column])
                mr, mi = load(matrix, entry + 2 * column), load(matrix, entry + 2 * column + 1)
                xr, xi = load(cached, source), load(cached, source + 1)
                real += mr * xr - mi * xi
                imag += mr * xi + mi * xr
            store(product, 2 * row, real)
            store(product, 2 * row + 1, imag)
        scatter(product, base, offsets, rows, cached)


@compiled
def unapply_pairs(cached, cocached, bases, offset, matrix, at, overlap):
    """Un-apply a 2x2 matrix from state and co-state, and add |co-state><state| to `overlap`.

    The matrix is unitary: its inverse is its adjoint. The overlap is taken of the co-state after
    the gate and the state before it.
    """
    ar, ai, br, bi = (
        load(matrix, at),
        load(matrix, at + 1),
        load(matrix, at + 2),
        load(matrix, at + 3),
    )
    cr, ci = load(matrix, at + 4), load(matrix, at + 5)
    dr, di = load(matrix, at + 6), load(matrix, at + 7)
    sar, sai = load(overlap, at), load(overlap, at + 1)
    sbr, sbi = load(overlap, at + 2), load(overlap, at + 3)
    scr, sci = load(overlap, at + 4), load(overlap, at + 5)
    sdr, sdi = load(overlap, at + 6), load(overlap, at + 7)
    for base in bases:
        zero, one = 2 * base, 2 * (base + offset)
        xr, xi = load(cached, zero), load(cached, zero + 1)
        yr, yi = load(cached, one), load(cached, one + 1)
        pr, pi = ar * xr + ai * xi + cr * yr + ci * yi, ar * xi - ai * xr + cr * yi - ci * yr
        qr, qi = br * xr + bi * xi + dr * yr + di * yi, br * xi - bi * xr + dr * yi - di * yr
        store(cached, zero, pr)
        store(cached, zero + 1, pi)
        store(cached, one, qr)
        store(cached, one + 1, qi)
        xr, xi = load(cocached, zero), load(cocached, zero + 1)
        yr, yi = load(cocached, one), load(cocached, one + 1)
        sar, sai = sar + (xr * pr + xi * pi), sai + (xi * pr - xr * pi)
        sbr, sbi = sbr + (xr * qr + xi * qi), sbi + (xi * qr - xr * qi)
        scr, sci = scr + (yr * pr + yi * pi), sci + (yi * pr - yr * pi)
        sdr, sdi = sdr + (yr * qr + yi * qi), sdi + (yi * qr - yr * qi)
        store(cocached, zero, ar * xr + ai * xi + cr * yr + ci * yi)
        store(cocached, zero + 1, ar * xi - ai * xr + cr * yi - ci * yr)
        store(cocached, one, br * xr + bi * xi + dr * yr + di * yi)
        store(cocached, one + 1, br * xi - bi * xr + dr * yi - di * yr)
    store(overlap, at, sar)
    store(overlap, at + 1, sai)
    store(overlap, at + 2, sbr)
    store(overlap, at + 3, sbi)
    store(overlap, at + 4, scr)
    store(overlap, at + 5, sci)
    store(overlap, at + 6, sdr)
    store(overlap, at + 7, sdi)


@compiled
def unapply_rows(cached, cocached, bases, offsets, matrix, at, overlap, product):
    """Do for a matrix of any size what `unapply_pairs` does for 2x2."""
    rows = len(offsets)
    for base in bases:
        adjoint_product(cached, base, offsets, matrix, at, product)
        scatter(product, base, offsets, rows, cached)
        for row in range(rows):
            source = 2 * (base + offsets[row])
            xr, xi = load(cocached, source), load(cocached, source + 1)
            for column in range(rows):
                pr, pi = load(product, 2 * column), load(product, 2 * column + 1)
                entry = at + 2 * (rows * row + column)
                store(overlap, entry, load(overlap, entry) + (xr * pr + xi * pi))
                store(overlap, entry + 1, load(overlap, entry + 1) + (xi * pr - xr * pi))
        adjoint_product(cocached, base, offsets, matrix, at, product)
        scatter(product, base, offsets, rows, cocached)


@compiled
def adjoint_product(cached, base, offsets, matrix, at, product):
    """Put the product of a matrix's adjoint with the amplitudes base + offsets into `product`."""
    rows = len(offsets)
    for row in range(rows):
        source = 2 * (base + offsets[0])
        entry = at + 2 * row
        mr, mi = load(matrix, entry), load(matrix, entry + 1)
        xr, xi = load(cached, source), load(cached, source + 1)
        real, imag = mr * xr + mi * xi, mr * xi - mi * xr
        for column in range(1, rows):
            source = 2 * (base + offsets[column])
            entry = at + 2 * (rows * column + row)
            mr, mi = load(matrix, entry), load(matrix, entry + 1)
            xr, xi = load(cached, source), load(cached, source + 1)
            real += mr * xr + mi * xi
            imag += mr * xi - mi * xr
        store(product, 2 * row, real)
        store(product, 2 * row + 1, imag)


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
