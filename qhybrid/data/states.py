"""Sets of quantum states: families that are drawn, and states in a file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from qhybrid.arrays import read_array
from qhybrid.data.catalog import Reading, check_split, resolve_dataset
from qhybrid.models.choices import USUAL_STATE_QUBITS
from qhybrid.states.density import MOST_QUBITS, density_matrices
from qhybrid_circuits.errors import RequestError

COUNT = 1000
"""States of a family in each split."""

SPREAD = 0.2
"""Of `states:cluster`, unless told otherwise; the other families have none."""

FIELDS = (0.2, 2.0)
"""The transverse fields of `states:ising`, in units of the coupling; the chain is critical at 1."""

_SEED = 5
_LAYOUT = "a file of states has complex (N, 2**n) under 'states', and maybe under 'test_states'"


class StateDataset(Dataset[tuple[Tensor, int]]):
    """Quantum states as density matrices, all of one class.

    Attributes:
        vectors: State vectors, complex128 (N, d).
        images: What models are trained on, as image data sets call it: density matrices, complex128
            (N, d, d).
        labels: Zeros, (N,).
        class_names: The one class.
        source: The data set's name.
        notes: None.
    """

    def __init__(self, vectors: Tensor, source: str) -> None:
        """Take state vectors (N, d), which are normalized."""
        self.vectors = vectors / vectors.norm(dim=1, keepdim=True)
        self.images = density_matrices(vectors)
        self.source = source
        self.labels = torch.zeros(len(vectors), dtype=torch.int64)
        self.class_names, self.notes = {0: "all"}, ()

    @property
    def described(self) -> str:
        """How many states, of what size."""
        qubits: int = self.spec_fields["qubits"]
        return f"{len(self):,} of {qubits} qubit{'s' * (qubits > 1)}"

    @property
    def spec_fields(self) -> dict[str, Any]:
        """What a `ModelSpec` is told of the data."""
        return {"qubits": self.images.shape[-1].bit_length() - 1}

    def __len__(self) -> int:
        """Return the number of states."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one density matrix (d, d), and its class."""
        return self.images[index], 0


def load_states(
    name: str,
    *,
    qubits: int | None = None,
    spread: float | None = None,
    limit: int | None = None,
    split: str = "train",
) -> StateDataset:
    """Load quantum states to train on or to compare with.

    Args:
        name: A data set of states, or `states:FILE.npz`.
        qubits: 1 to 4; 2 where omitted, or what the file has.
        spread: Noise of total variance spread**2 on each state of a family.
        limit: States to keep at most, the first ones; None keeps all.
        split: "train" or "test": other states of the same family.

    Raises:
        RequestError: There is no such data set, or it is not of such states.
    """
    from qhybrid_circuits.plugins import load_reference

    source = resolve_dataset(name)
    check_split(source, split)
    reading = Reading(source.name, source.path, split, qubits=qubits, spread=spread)
    vectors = load_reference(source.info.reader)(reading)
    return StateDataset(torch.from_numpy(vectors[:limit]), source.name)


Vectors = NDArray[np.complex128]


def read_family(reading: Reading) -> Vectors:
    """Draw the states of a split, (1000, 2**n), always the same."""
    family = reading.name.partition(":")[2]
    qubits = reading.qubits or USUAL_STATE_QUBITS
    spread = reading.spread
    if spread is None:
        spread = SPREAD if family == "cluster" else 0.0
    # Both splits have one centre; their states are independent.
    centre = np.random.default_rng([_SEED, qubits])
    rng = np.random.default_rng([_SEED, qubits, reading.split == "test"])
    states = _FAMILIES[family](qubits, centre, rng)
    noise = _gaussian(rng, (COUNT, 1 << qubits)) / (1 << qubits) ** 0.5
    found: Vectors = states + spread * noise
    return found


def _cluster(qubits: int, centre: np.random.Generator, rng: np.random.Generator) -> Vectors:
    """Return a Haar-random state, over and over."""
    state = _gaussian(centre, (1 << qubits,))
    return np.tile(state / np.linalg.norm(state), (COUNT, 1))


def _circle(qubits: int, centre: np.random.Generator, rng: np.random.Generator) -> Vectors:
    """Return cos(a) |0...0> + sin(a) |1...1>, a uniform."""
    angles = rng.uniform(0, 2 * np.pi, COUNT)
    states = np.zeros((COUNT, 1 << qubits), dtype=np.complex128)
    states[:, 0], states[:, -1] = np.cos(angles), np.sin(angles)
    return states


def _ising(qubits: int, centre: np.random.Generator, rng: np.random.Generator) -> Vectors:
    """Return ground states of H = -sum Z_i Z_(i+1) - g sum X_i, an open chain, g uniform."""
    if qubits < 2:
        raise RequestError("states:ising is a chain of 2 to 4 qubits; set data.qubits to one")
    x, z = np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])

    def on(operators: Mapping[int, NDArray[np.float64]]) -> NDArray[Any]:
        matrix: NDArray[Any] = np.eye(1)
        for qubit in reversed(range(qubits)):
            matrix = np.kron(matrix, operators.get(qubit, np.eye(2)))
        return matrix

    coupling = sum(on({q: z, q + 1: z}) for q in range(qubits - 1))
    field = sum(on({q: x}) for q in range(qubits))
    fields = rng.uniform(*FIELDS, COUNT)
    _, states = np.linalg.eigh(-coupling - fields[:, None, None] * field)
    return states[:, :, 0].astype(np.complex128)


_FAMILIES: Mapping[str, Callable[..., Vectors]] = {
    "cluster": _cluster,
    "circle": _circle,
    "ising": _ising,
}


def read_file(reading: Reading) -> Vectors:
    """Read the states of a file, (N, 2**n).

    Raises:
        RequestError: They are no state vectors of 1 to 4 qubits, or of others than were asked for.
    """
    if reading.spread is not None:
        raise RequestError(
            f"data.spread is of families that are drawn, but {reading.name} is a file; leave it out"
        )
    key = "states" if reading.split == "train" else "test_states"
    found = read_states(Path(reading.path or ""), key, reading.name)
    if reading.qubits is not None and found.shape[1] != 1 << reading.qubits:
        raise RequestError(
            f"'{key}' of {reading.name} is of {found.shape[1].bit_length() - 1} qubits, but "
            f"data.qubits is {reading.qubits}; leave it out"
        )
    return found


def read_states(path: Path, key: str, source: str) -> Vectors:
    """Read state vectors (N, 2**n) of an npz file.

    Raises:
        RequestError: There are none, or they are no state vectors of 1 to 4 qubits.
    """
    found: NDArray[Any] = read_array(path, key, source, _LAYOUT)
    what = f"'{key}' of {source}"
    sizes = [1 << qubits for qubits in range(1, MOST_QUBITS + 1)]
    if found.ndim != 2 or found.shape[1] not in sizes or found.dtype.kind not in "fc":
        raise RequestError(
            f"{what} must be real or complex (N, d) with d = 2, 4, 8 or 16, a state vector a row, "
            f"but is {found.dtype} {found.shape}"
        )
    if not len(found):
        raise RequestError(f"{what} holds no states")
    zero = np.flatnonzero(~found.any(1) | ~np.isfinite(found).all(1))
    if len(zero):
        raise RequestError(
            f"{what} has {len(zero)} rows that are no states, all zero or not finite, the first "
            f"is row {zero[0]}; leave them out"
        )
    return found.astype(np.complex128)


def _gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> Vectors:
    parts = rng.standard_normal((2, *shape)) / 2**0.5
    return np.asarray(parts[0] + 1j * parts[1], dtype=np.complex128)
