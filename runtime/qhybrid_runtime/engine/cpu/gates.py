# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Kernels for the parts of gates (`patterns.Kind`), forward and back, on amplitudes in the cache.

Amplitudes are as in `registers.py`. `bases` are the indices of a part's first row; the other rows
are at fixed offsets from it. `matrix` holds coefficients as vectors, a part's from `at` on.

Backward kernels un-apply a part from the state and from the co-state: its matrix is unitary, so its
inverse is its adjoint. Where the gradient is wanted they add |co-state after><state before| to
`overlap`, entry by entry as in `matrix`.
"""

from qhybrid_runtime.engine.cpu.compiler import kernel
from qhybrid_runtime.engine.cpu.lanes import add_to, load, load_complex, store, store_complex


@kernel
def apply_phase(cached, bases, matrix, at):
    """Multiply amplitudes by a number."""
    mr, mi = load_complex(matrix, at)
    for base in bases:
        xr, xi = load_complex(cached, 2 * base)
        store_complex(cached, 2 * base, mr * xr - mi * xi, mr * xi + mi * xr)


@kernel
def unapply_phase(cached, cocached, bases, matrix, at, wanted, overlap):
    """Undo `apply_phase`."""
    mr, mi = load_complex(matrix, at)
    real, imag = mr - mr, mi - mi
    for base in bases:
        xr, xi = load_complex(cached, 2 * base)
        pr, pi = mr * xr + mi * xi, mr * xi - mi * xr
        store_complex(cached, 2 * base, pr, pi)
        xr, xi = load_complex(cocached, 2 * base)
        real += xr * pr + xi * pi
        imag += xi * pr - xr * pi
        store_complex(cocached, 2 * base, mr * xr + mi * xi, mr * xi - mi * xr)
    if wanted:
        add_to(overlap, at, real, imag)


@kernel
def exchange(cached, bases, offset):
    """Exchange amplitudes; this is its own inverse."""
    for base in bases:
        zero, one = 2 * base, 2 * (base + offset)
        xr, xi = load_complex(cached, zero)
        store_complex(cached, zero, *load_complex(cached, one))
        store_complex(cached, one, xr, xi)


@kernel
def load_rotation(matrix, at, cross):
    """Return a, b of a rotation's real part and a, b of its imaginary part, then c, d of both.

    Its matrix is [[a, b], [c, d]], or [[a, ib], [ic, d]] where `cross` is 1. In real numbers it is
    a 2x2 matrix on the real part of x with one part of y, and another on the rest: with the parts
    exchanged and some signs changed, both forms are one.
    """
    a, b = load(matrix, at), load(matrix, at + 1)
    c, d = load(matrix, at + 2), load(matrix, at + 3)
    if cross:
        return a, a - a - b, b, c, a - a - c, d
    return a, b, b, c, c, d


@kernel
def apply_rotation(cached, bases, offset, cross, matrix, at):
    """Apply a matrix that is real, or real on the diagonal and imaginary elsewhere."""
    a, b1, b2, c1, c2, d = load_rotation(matrix, at, cross)
    for base in bases:
        zero, one = 2 * base, 2 * (base + offset)
        first, second = one + cross, one + 1 - cross
        xr, xi = load_complex(cached, zero)
        y1, y2 = load(cached, first), load(cached, second)
        store_complex(cached, zero, a * xr + b1 * y1, a * xi + b2 * y2)
        store(cached, first, c1 * xr + d * y1)
        store(cached, second, c2 * xi + d * y2)


@kernel
def unapply_rotation(cached, cocached, bases, offset, cross, matrix, at, wanted, overlap):
    """Undo `apply_rotation`."""
    a, b1, b2, c1, c2, d = load_rotation(matrix, at, cross)
    sa, sb1, sb2, sc1, sc2, sd = a - a, a - a, a - a, a - a, a - a, a - a
    for base in bases:
        zero, one = 2 * base, 2 * (base + offset)
        first, second = one + cross, one + 1 - cross
        xr, xi = load_complex(cached, zero)
        y1, y2 = load(cached, first), load(cached, second)
        pr, pi = a * xr + c1 * y1, a * xi + c2 * y2
        q1, q2 = b1 * xr + d * y1, b2 * xi + d * y2
        store_complex(cached, zero, pr, pi)
        store(cached, first, q1)
        store(cached, second, q2)
        xr, xi = load_complex(cocached, zero)
        y1, y2 = load(cocached, first), load(cocached, second)
        sa += xr * pr + xi * pi
        sb1 += xr * q1
        sb2 += xi * q2
        sc1 += y1 * pr
        sc2 += y2 * pi
        sd += y1 * q1 + y2 * q2
        store_complex(cocached, zero, a * xr + c1 * y1, a * xi + c2 * y2)
        store(cocached, first, b1 * xr + d * y1)
        store(cocached, second, b2 * xi + d * y2)
    if wanted:
        add_to(overlap, at, sa, sb2 - sb1 if cross else sb2 + sb1)
        add_to(overlap, at + 2, sc1 - sc2 if cross else sc1 + sc2, sd)


@kernel
def apply_pair(cached, bases, offset, matrix, at):
    """Apply a 2x2 matrix."""
    (ar, ai), (br, bi) = load_complex(matrix, at), load_complex(matrix, at + 2)
    (cr, ci), (dr, di) = load_complex(matrix, at + 4), load_complex(matrix, at + 6)
    for base in bases:
        zero, one = 2 * base, 2 * (base + offset)
        xr, xi = load_complex(cached, zero)
        yr, yi = load_complex(cached, one)
        store_complex(
            cached,
            zero,
            ar * xr - ai * xi + br * yr - bi * yi,
            ar * xi + ai * xr + br * yi + bi * yr,
        )
        store_complex(
            cached,
            one,
            cr * xr - ci * xi + dr * yr - di * yi,
            cr * xi + ci * xr + dr * yi + di * yr,
        )


@kernel
def unapply_pair(cached, cocached, bases, offset, matrix, at, wanted, overlap):
    """Undo `apply_pair`."""
    (ar, ai), (br, bi) = load_complex(matrix, at), load_complex(matrix, at + 2)
    (cr, ci), (dr, di) = load_complex(matrix, at + 4), load_complex(matrix, at + 6)
    sar, sai, sbr, sbi = ar - ar, ar - ar, ar - ar, ar - ar
    scr, sci, sdr, sdi = ar - ar, ar - ar, ar - ar, ar - ar
    for base in bases:
        zero, one = 2 * base, 2 * (base + offset)
        xr, xi = load_complex(cached, zero)
        yr, yi = load_complex(cached, one)
        pr, pi = ar * xr + ai * xi + cr * yr + ci * yi, ar * xi - ai * xr + cr * yi - ci * yr
        qr, qi = br * xr + bi * xi + dr * yr + di * yi, br * xi - bi * xr + dr * yi - di * yr
        store_complex(cached, zero, pr, pi)
        store_complex(cached, one, qr, qi)
        xr, xi = load_complex(cocached, zero)
        yr, yi = load_complex(cocached, one)
        sar, sai = sar + (xr * pr + xi * pi), sai + (xi * pr - xr * pi)
        sbr, sbi = sbr + (xr * qr + xi * qi), sbi + (xi * qr - xr * qi)
        scr, sci = scr + (yr * pr + yi * pi), sci + (yi * pr - yr * pi)
        sdr, sdi = sdr + (yr * qr + yi * qi), sdi + (yi * qr - yr * qi)
        store_complex(
            cocached,
            zero,
            ar * xr + ai * xi + cr * yr + ci * yi,
            ar * xi - ai * xr + cr * yi - ci * yr,
        )
        store_complex(
            cocached,
            one,
            br * xr + bi * xi + dr * yr + di * yi,
            br * xi - bi * xr + dr * yi - di * yr,
        )
    if wanted:
        add_to(overlap, at, sar, sai)
        add_to(overlap, at + 2, sbr, sbi)
        add_to(overlap, at + 4, scr, sci)
        add_to(overlap, at + 6, sdr, sdi)


@kernel
def apply_pauli(cached, bases, offset, codes, first, backward, lanes):
    """Apply to each sample the Pauli operator of its code: 0 I, 1 X, 2 Y, 3 Z.

    Y is Z after X, which differs by a phase that no expectation value sees. `codes` of the samples
    start at `first`; `lanes` is room for three vectors.
    """
    count = len(lanes) // 3
    for lane in range(count):
        code = codes[first + lane]
        moves = code == 1 or code == 2
        lanes[lane] = 0 if moves else 1
        lanes[count + lane] = 1 if moves else 0
        lanes[2 * count + lane] = -1 if code >= 2 else 1
    stay, move, sign = load(lanes, 0), load(lanes, 1), load(lanes, 2)
    for base in bases:
        for part in range(2):
            zero, one = 2 * base + part, 2 * (base + offset) + part
            x, y = load(cached, zero), load(cached, one)
            if backward:
                y = sign * y
                store(cached, zero, stay * x + move * y)
                store(cached, one, stay * y + move * x)
            else:
                store(cached, zero, stay * x + move * y)
                store(cached, one, sign * (stay * y + move * x))
