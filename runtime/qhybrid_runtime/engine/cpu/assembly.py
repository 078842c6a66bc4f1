# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Kernels that turn waves into the coefficients of gates, and gradients back; see `recipe.py`.

All numbers are vectors, real part and imaginary part; gradients of complex numbers are
d/dRe + i d/dIm, so that those of a product P = A B are by_A = by_P B^+ and by_B = A^+ by_P.
"""

from qhybrid_runtime.engine.cpu.compiler import kernel
from qhybrid_runtime.engine.cpu.lanes import (
    LANES,
    add_to,
    load,
    load_complex,
    splat,
    store,
    store_complex,
)


@kernel
def fill_values(recipe, waves, values):
    """Add up each value's waves."""
    terms, factors = recipe.terms, recipe.factors
    for index in range(len(recipe.values)):
        first, last = recipe.values[index]
        real = splat(values.dtype.type(0))
        imag = real
        for term in range(first, last):
            fr = splat(values.dtype.type(factors[term, 0]))
            fi = splat(values.dtype.type(factors[term, 1]))
            wave = terms[term]
            if wave < 0:
                real += fr
                imag += fi
            else:
                wr, wi = load_complex(waves, 2 * wave)
                real += fr * wr - fi * wi
                imag += fr * wi + fi * wr
        store_complex(values, 2 * index, real, imag)


@kernel
def assemble(recipe, values, products, matrix):
    """Fill in all coefficients."""
    for block in range(len(recipe.blocks)):
        rows, gates, _, first, end = recipe.blocks[block]
        multiply(recipe, block, values, products)
        done = 2 * (gates - 1) * rows * rows
        for pick in range(first, end):
            coefficient, number = recipe.picks[pick]
            store(matrix, coefficient, load(products, done + number))


@kernel
def multiply(recipe, block, values, products):
    """Fill in the products of the first gate, of the first two, and so on, of a block."""
    entries = recipe.entries
    rows, gates, at, _, _ = recipe.blocks[block]
    size = rows * rows
    for entry in range(size):
        value = entries[at + entry]
        store_complex(products, 2 * entry, *load_complex(values, 2 * value))
    for gate in range(1, gates):
        before, after = 2 * (gate - 1) * size, 2 * gate * size
        matrix = at + gate * size
        for row in range(rows):
            for column in range(rows):
                real = splat(values.dtype.type(0))
                imag = real
                for k in range(rows):
                    value = entries[matrix + row * rows + k]
                    # Most entries are zero, the first of all values.
                    if value > 0:
                        ar, ai = load_complex(values, 2 * value)
                        source = before + 2 * (k * rows + column)
                        br, bi = load_complex(products, source)
                        real += ar * br - ai * bi
                        imag += ar * bi + ai * br
                target = after + 2 * (row * rows + column)
                store_complex(products, target, real, imag)


@kernel
def disassemble(recipe, values, products, overlap, by_products, by_values):
    """Carry the gradient of all coefficients, `overlap`, back to `by_values`.

    `products` and `by_products` are scratch.
    """
    by_values[:] = 0
    for block in range(len(recipe.blocks)):
        rows, gates, at, first, end = recipe.blocks[block]
        size = rows * rows
        if gates > 1:
            multiply(recipe, block, values, products)
        by_products[: 2 * size * LANES] = 0
        for pick in range(first, end):
            coefficient, number = recipe.picks[pick]
            store(by_products, number, load(overlap, coefficient))
        for gate in range(gates - 1, 0, -1):
            entries = recipe.entries[at + gate * size : at + (gate + 1) * size]
            before = 2 * (gate - 1) * size
            pull_back(entries, rows, values, products, before, by_products, by_values)
        for entry in range(size):
            value = recipe.entries[at + entry]
            add_to(by_values, 2 * value, *load_complex(by_products, 2 * entry))


@kernel
def pull_back(entries, rows, values, products, before, by_products, by_values):
    """Carry the gradient of A B, at the start of `by_products`, to A's values and to B."""
    size = rows * rows
    for row in range(rows):
        for k in range(rows):
            value = entries[row * rows + k]
            if value > 0:
                real, imag = load_complex(by_values, 2 * value)
                for column in range(rows):
                    gr, gi = load_complex(by_products, 2 * (row * rows + column))
                    source = before + 2 * (k * rows + column)
                    br, bi = load_complex(products, source)
                    real += gr * br + gi * bi
                    imag += gi * br - gr * bi
                store_complex(by_values, 2 * value, real, imag)
    for k in range(rows):
        for column in range(rows):
            real = splat(values.dtype.type(0))
            imag = real
            for row in range(rows):
                value = entries[row * rows + k]
                if value > 0:
                    ar, ai = load_complex(values, 2 * value)
                    gr, gi = load_complex(by_products, 2 * (row * rows + column))
                    real += ar * gr + ai * gi
                    imag += ar * gi - ai * gr
            target = 2 * (size + k * rows + column)
            store_complex(by_products, target, real, imag)
    for number in range(2 * size):
        store(by_products, number, load(by_products, 2 * size + number))


@kernel
def pull_back_waves(recipe, by_values, by_waves):
    """Carry the gradient of values back to waves."""
    terms, factors = recipe.terms, recipe.factors
    by_waves[:] = 0
    for index in range(len(recipe.values)):
        first, last = recipe.values[index]
        gr, gi = load_complex(by_values, 2 * index)
        for term in range(first, last):
            wave = terms[term]
            if wave >= 0:
                fr = splat(by_values.dtype.type(factors[term, 0]))
                fi = splat(by_values.dtype.type(factors[term, 1]))
                add_to(by_waves, 2 * wave, fr * gr + fi * gi, fr * gi - fi * gr)
