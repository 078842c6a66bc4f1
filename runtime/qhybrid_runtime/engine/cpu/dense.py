# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Kernels for parts of gates that mix more than two amplitudes; see `gates.py`."""

from qhybrid_runtime.engine.cpu.lanes import load, store
from qhybrid_runtime.engine.cpu.registers import compiled, scatter


@compiled
def apply_dense(cached, bases, offsets, matrix, at, product):
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
def unapply_dense(cached, cocached, bases, offsets, matrix, at, wanted, overlap, product):
    """Undo `apply_dense`."""
    rows = len(offsets)
    for base in bases:
        adjoint_product(cached, base, offsets, matrix, at, product)
        scatter(product, base, offsets, rows, cached)
        if wanted:
            add_overlap(cocached, base, offsets, product, overlap, at)
        adjoint_product(cocached, base, offsets, matrix, at, product)
        scatter(product, base, offsets, rows, cocached)


@compiled
def add_overlap(cocached, base, offsets, before, overlap, at):
    """Add |co-state><before| of one set of amplitudes to `overlap`."""
    rows = len(offsets)
    for row in range(rows):
        source = 2 * (base + offsets[row])
        xr, xi = load(cocached, source), load(cocached, source + 1)
        for column in range(rows):
            pr, pi = load(before, 2 * column), load(before, 2 * column + 1)
            entry = at + 2 * (rows * row + column)
            store(overlap, entry, load(overlap, entry) + (xr * pr + xi * pi))
            store(overlap, entry + 1, load(overlap, entry + 1) + (xi * pr - xr * pi))


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
