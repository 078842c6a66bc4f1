# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""What kernels are given, and what they work in.

A task is `LANES` samples of one weight set; batches are padded to a multiple of `LANES` samples.
"""

from typing import NamedTuple

import numpy as np

from qhybrid_runtime.engine.cpu.assembly import (
    assemble,
    disassemble,
    fill_values,
    pull_back_waves,
)
from qhybrid_runtime.engine.cpu.compiler import compiled
from qhybrid_runtime.engine.cpu.lanes import LANES, splat, store_complex
from qhybrid_runtime.engine.cpu.layout import Layout
from qhybrid_runtime.engine.cpu.recipe import RecipeTables
from qhybrid_runtime.engine.observables import ObservableTables


class Numbers(NamedTuple):
    """What differs from call to call: all trigonometry, and the errors."""

    shared_cos: np.ndarray  # Cosines of the waves that samples share, (n_shared, G).
    shared_sin: np.ndarray  # Their sines.
    cos: np.ndarray  # Cosines of the other waves, (n_differing, G, n_chunks * LANES).
    sin: np.ndarray  # Their sines.
    codes: np.ndarray  # Pauli operators, (n_sites, G, n_chunks * LANES).


class Call(NamedTuple):
    """All that values follow from."""

    layout: Layout
    recipe: RecipeTables
    observed: ObservableTables  # In the bit order of the layout's last register.
    numbers: Numbers


class Task(NamedTuple):
    """What one task computes with, all as vectors; complex numbers are two."""

    waves: np.ndarray  # The shared ones first.
    values: np.ndarray
    products: np.ndarray  # Room for the products of the matrices of a block.
    by_products: np.ndarray  # Room for their gradients.
    matrix: np.ndarray  # Coefficients: the start states, then those of the gates.
    codes: np.ndarray  # Pauli operators of each error site.
    active: np.ndarray  # Whether any sample has an error at a site.


class Scratch(NamedTuple):
    """Room of one thread."""

    cached: np.ndarray  # A group of amplitudes.
    cocached: np.ndarray  # Its co-state.
    product: np.ndarray
    offsets: np.ndarray  # Indices of a group.
    lanes: np.ndarray  # Three vectors.


@compiled
def new_task(recipe, numbers):
    """Return room for a task."""
    dtype = numbers.cos.dtype
    return Task(
        np.empty(2 * (len(numbers.shared_cos) + len(numbers.cos)) * LANES, dtype),
        np.empty(2 * len(recipe.values) * LANES, dtype),
        np.empty(recipe.largest * LANES, dtype),
        np.empty(recipe.largest * LANES, dtype),
        np.empty(len(recipe.picks) * LANES, dtype),
        np.empty(len(numbers.codes) * LANES, np.uint8),
        np.empty(len(numbers.codes), np.bool_),
    )


@compiled
def new_scratch(group_size, like):
    """Return room for a thread."""
    return Scratch(
        np.empty(2 * group_size * LANES, like.dtype),
        np.empty(2 * group_size * LANES, like.dtype),
        np.empty(2 * group_size * LANES, like.dtype),
        np.empty(group_size, np.int64),
        np.empty(3 * LANES, like.dtype),
    )


@compiled
def take_samples(batch, group, chunk, vectors):
    """Copy one chunk of samples of (n, G, n_chunks * LANES) to vectors."""
    for index in range(len(batch)):
        for lane in range(LANES):
            vectors[index * LANES + lane] = batch[index, group, chunk * LANES + lane]


@compiled
def put_samples(vectors, group, chunk, batch):
    """Copy vectors to one chunk of samples of (n, G, n_chunks * LANES)."""
    for index in range(len(batch)):
        for lane in range(LANES):
            batch[index, group, chunk * LANES + lane] = vectors[index * LANES + lane]


@compiled
def prepare(recipe, numbers, group, chunk, task):
    """Fill in what one task computes with."""
    shared_cos, shared_sin, cos, sin, codes = numbers
    waves = task.waves
    for index in range(len(shared_cos)):
        real, imag = shared_cos[index, group], shared_sin[index, group]
        store_complex(waves, 2 * index, splat(real), splat(imag))
    for index in range(len(cos)):
        first = 2 * (len(shared_cos) + index) * LANES
        for lane in range(LANES):
            waves[first + lane] = cos[index, group, chunk * LANES + lane]
            waves[first + LANES + lane] = sin[index, group, chunk * LANES + lane]
    fill_values(recipe, waves, task.values)
    assemble(recipe, task.values, task.products, task.matrix)
    take_samples(codes, group, chunk, task.codes)
    for site in range(len(task.active)):
        task.active[site] = False
        for lane in range(LANES):
            task.active[site] |= task.codes[site * LANES + lane] != 0


@compiled
def give_back(recipe, task, overlap, group, chunk, by_shared, by_differing):
    """Carry one task's gradient by the coefficients back to waves; see `tasks.run_gradients`."""
    by_waves, by_values = np.empty_like(task.waves), np.empty_like(task.values)
    disassemble(recipe, task.values, task.products, overlap, task.by_products, by_values)
    pull_back_waves(recipe, by_values, by_waves)
    for index in range(len(by_shared)):
        total = by_waves.dtype.type(0)
        for lane in range(LANES):
            total += by_waves[index * LANES + lane]
        by_shared[index, group, chunk] = total
    put_samples(by_waves[len(by_shared) * LANES :], group, chunk, by_differing)
