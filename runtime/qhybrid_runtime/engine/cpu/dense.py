# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Kernels for parts of gates that mix more than two amplitudes; see `gates.py`."""

from qhybrid_runtime.engine.cpu.compiler import kernel
from qhybrid_runtime.engine.cpu.lanes import add_to, load_complex, store_complex
from qhybrid_runtime.engine.cpu.registers import scatter


@kernel
def apply_dense(cached, bases, offsets, matrix, at, product):
    """Apply a matrix of any size to the amplitudes base + offsets; `product` is scratch."""
    rows = len(offsets)
    for base in bases:
        for row in range(rows):
            entry = at + 2 * rows * row
            source = 2 * (base + offsets[0])
            mr, mi = load_complex(matrix, entry)
            xr, xi = load_complex(cached, source)
            real, imag = mr * xr - mi * xi, mr * xi + mi * xr
            for column in range(1, rows):
                source = 2 * (base + offsets[column])
                mr, mi = load_complex(matrix, entry + 2 * column)
                xr, xi = load_complex(cached, source)
                real += mr * xr - mi * xi
                imag += mr * xi + mi * xr
            store_complex(product, 2 * row, real, imag)
        scatter(product, base, offsets, rows, cached)


@kernel
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


@kernel
def add_overlap(cocached, base, offsets, before, overlap, at):
    """Add |co-state><before| of one set of amplitudes to `overlap`."""
    rows = len(offsets)
    for row in range(rows):
        source = 2 * (base + offsets[row])
        xr, xi = load_complex(cocached, source)
        for column in range(rows):
            pr, pi = load_complex(before, 2 * column)
            entry = at + 2 * (rows * row + column)
            add_to(overlap, entry, xr * pr + xi * pi, xi * pr - xr * pi)


@kernel
def adjoint_product(cached, base, offsets, matrix, at, product):
    """Put the product of a matrix's adjoint with the amplitudes base + offsets into `product`."""
    rows = len(offsets)
    for row in range(rows):
        source = 2 * (base + offsets[0])
        entry = at + 2 * row
        mr, mi = load_complex(matrix, entry)
        xr, xi = load_complex(cached, source)
        real, imag = mr * xr + mi * xi, mr * xi - mi * xr
        for column in range(1, rows):
            source = 2 * (base + offsets[column])
            entry = at + 2 * (rows * column + row)
            mr, mi = load_complex(matrix, entry)
            xr, xi = load_complex(cached, source)
            real += mr * xr + mi * xi
            imag += mr * xi - mi * xr
        store_complex(product, 2 * row, real, imag)
