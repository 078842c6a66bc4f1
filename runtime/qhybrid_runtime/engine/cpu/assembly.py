# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Kernels that turn waves into the coefficients of gates, and gradients back; see `recipe.py`.

All numbers are vectors, real part and imaginary part; gradients of complex numbers are
d/dRe + i d/dIm, so that those of a product P = A B are by_A = by_P B^+ and by_B = A^+ by_P.
"""

from qhybrid_runtime.engine.cpu.lanes import LANES, load, splat, store
from qhybrid_runtime.engine.cpu.registers import compiled


@compiled
def fill_values(recipe, waves, values):
    """Add up each value's waves."""
    spans, terms, factors, _, _, _, _ = recipe
    for index in range(len(spans)):
        first, last = spans[index]
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
                wr, wi = load(waves, 2 * wave), load(waves, 2 * wave + 1)
                real += fr * wr - fi * wi
                imag += fr * wi + fi * wr
        store(values, 2 * index, real)
        store(values, 2 * index + 1, imag)


@compiled
def assemble(recipe, values, products, matrix):
    """Fill in all coefficients."""
    _, _, _, blocks, _, _, picks = recipe
    for block in range(len(blocks)):
        rows, _, count, first, last = blocks[block]
        multiply(recipe, block, values, products)
        done = 2 * (count - 1) * rows * rows
        for pick in range(first, last):
            coefficient, number = picks[pick]
            store(matrix, coefficient, load(products, done + number))


@compiled
def multiply(recipe, block, values, products):
    """Fill in the products of the first gate, of the first two, and so on, of a block."""
    _, _, _, blocks, entries, starts, _ = recipe
    rows, _, count, _, _ = blocks[block]
    size = rows * rows
    at = starts[block]
    for entry in range(size):
        value = entries[at + entry]
        store(products, 2 * entry, load(values, 2 * value))
        store(products, 2 * entry + 1, load(values, 2 * value + 1))
    for gate in range(1, count):
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
                        ar, ai = load(values, 2 * value), load(values, 2 * value + 1)
                        source = before + 2 * (k * rows + column)
                        br, bi = load(products, source), load(products, source + 1)
                        real += ar * br - ai * bi
                        imag += ar * bi + ai * br
                target = after + 2 * (row * rows + column)
                store(products, target, real)
                store(products, target + 1, imag)


@compiled
def disassemble(recipe, values, products, overlap, by_products, by_values):
    """Carry the gradient of all coefficients, `overlap`, back to `by_values`.

    `products` and `by_products` are scratch.
    """
    _, _, _, blocks, entries, starts, picks = recipe
    by_values[:] = 0
    for block in range(len(blocks)):
        rows, _, count, first, last = blocks[block]
        size = rows * rows
        if count > 1:
            multiply(recipe, block, values, products)
        by_products[: 2 * size * LANES] = 0
        for pick in range(first, last):
            coefficient, number = picks[pick]
            store(by_products, number, load(overlap, coefficient))
        for gate in range(count - 1, 0, -1):
            matrix = starts[block] + gate * size
            before = 2 * (gate - 1) * size
            pull_back(
                entries[matrix : matrix + size], rows, values, products, before, by_products,
                by_values,
            )  # fmt: skip
        for entry in range(size):
            value = entries[starts[block] + entry]
            for part in range(2):
                target = 2 * value + part
                total = load(by_values, target) + load(by_products, 2 * entry + part)
                store(by_values, target, total)


@compiled
def pull_back(entries, rows, values, products, before, by_products, by_values):
    """Carry the gradient of A B, at the start of `by_products`, to A's values and to B."""
    size = rows * rows
    for row in range(rows):
        for k in range(rows):
            value = entries[row * rows + k]
            if value > 0:
                real, imag = load(by_values, 2 * value), load(by_values, 2 * value + 1)
                for column in range(rows):
                    gr = load(by_products, 2 * (row * rows + column))
                    gi = load(by_products, 2 * (row * rows + column) + 1)
                    source = before + 2 * (k * rows + column)
                    br, bi = load(products, source), load(products, source + 1)
                    real += gr * br + gi * bi
                    imag += gi * br - gr * bi
                store(by_values, 2 * value, real)
                store(by_values, 2 * value + 1, imag)
    for k in range(rows):
        for column in range(rows):
            real = splat(values.dtype.type(0))
            imag = real
            for row in range(rows):
                value = entries[row * rows + k]
                if value > 0:
                    ar, ai = load(values, 2 * value), load(values, 2 * value + 1)
                    gr = load(by_products, 2 * (row * rows + column))
                    gi = load(by_products, 2 * (row * rows + column) + 1)
                    real += ar * gr + ai * gi
                    imag += ar * gi - ai * gr
            target = 2 * (size + k * rows + column)
            store(by_products, target, real)
            store(by_products, target + 1, imag)
    for number in range(2 * size):
        store(by_products, number, load(by_products, 2 * size + number))


@compiled
def pull_back_waves(recipe, by_values, by_waves):
    """Carry the gradient of values back to waves."""
    spans, terms, factors, _, _, _, _ = recipe
    by_waves[:] = 0
    for index in range(len(spans)):
        first, last = spans[index]
        gr, gi = load(by_values, 2 * index), load(by_values, 2 * index + 1)
        for term in range(first, last):
            wave = terms[term]
            if wave >= 0:
                fr = splat(by_values.dtype.type(factors[term, 0]))
                fi = splat(by_values.dtype.type(factors[term, 1]))
                store(by_waves, 2 * wave, load(by_waves, 2 * wave) + (fr * gr + fi * gi))
                store(by_waves, 2 * wave + 1, load(by_waves, 2 * wave + 1) + (fr * gi - fi * gr))
