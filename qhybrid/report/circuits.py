"""The circuits of a report's subject, with weights, and the rounds in which a model runs them."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qhybrid.influence import Figures
from qhybrid.report.subject import Subject
from qhybrid_circuits.ansatz import ansatz_builder, build_ansatz
from qhybrid_circuits.ansatz_registry import REGISTRY as ANSATZE
from qhybrid_circuits.disk_cache import circuit_content, content_key
from qhybrid_circuits.errors import CircuitError
from qhybrid_circuits.variational import VariationalCircuit

#: Seed of the weights where none were trained.
SEED = 0


@dataclass(frozen=True, eq=False)
class CircuitUse:
    """One structure of circuit, however many circuits of a model have it.

    Attributes:
        variational: The circuit.
        weights: Of the first circuit with this structure, shape (n_weights,).
        circuits: Circuits with this structure that one denoising step evaluates; 1 for an ansatz.
        options: With which `build_ansatz(variational.name)` builds it; None where it is not a
            registered ansatz.
    """

    variational: VariationalCircuit
    weights: np.ndarray
    circuits: int
    options: Mapping[str, Any] | None

    @property
    def content(self) -> str:
        """A name for the circuit and what is measured, without weights."""
        return circuit_key(self.variational)


@dataclass(frozen=True)
class RoundPart:
    """Circuits of one structure in one round.

    Attributes:
        use: Index of the structure.
        circuits: How many there are in the round.
        samples: Parameter sets of each for one image.
    """

    use: int
    circuits: int
    samples: int


@dataclass(frozen=True, eq=False)
class SubjectCircuits:
    """Everything that a report must know of its subject.

    Attributes:
        uses: The structures.
        rounds: What one denoising step of one image evaluates, round after round; None for an
            ansatz.
        parameters: Trainable parameters of the model; None for an ansatz.
        health: `ModelHealth.to_dict()`; None for an ansatz.
        influence: `Influence.to_dict()` of the model as it is, on noise; None without circuits or
            their controls.
    """

    uses: tuple[CircuitUse, ...]
    rounds: tuple[tuple[RoundPart, ...], ...] | None = None
    parameters: int | None = None
    health: Mapping[str, Any] | None = None
    influence: Figures | None = None


def circuit_key(variational: VariationalCircuit) -> str:
    """Return a name for what a circuit computes, the same in every process."""
    observables = [
        tuple(zip(each.paulis.to_labels(), each.coeffs.tolist(), strict=True))
        for each in variational.observables
    ]
    names = [[each.name for each in group] for group in (variational.inputs, variational.weights)]
    return content_key(circuit_content(variational.circuit), observables, names)


def ansatz_circuits(subject: Subject) -> SubjectCircuits:
    """Build an ansatz, with random weights in [0, 1).

    Raises:
        CircuitError: The builder refuses a setting.
    """
    variational = build_ansatz(subject.name, **subject.settings)
    # Other sizes of it are built by this name, which need not be the one that its builder gives.
    variational = replace(variational, name=subject.name)
    weights = np.random.default_rng(SEED).random(variational.num_weights)
    return SubjectCircuits((CircuitUse(variational, weights, 1, dict(subject.settings)),))


def ansatz_options(
    variational: VariationalCircuit, settings: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the options that build a model's circuit, among its sizes and the model's settings.

    None where no registered ansatz is this circuit.
    """
    if variational.name not in ANSATZE:
        return None
    accepted = inspect.signature(ansatz_builder(variational.name)).parameters
    sizes = {"channels": variational.num_inputs // 4, "qubits": variational.num_qubits}
    known = {key: value for key, value in {**sizes, **settings}.items() if key in accepted}
    without_layers = {key: value for key, value in known.items() if key != "layers"}
    for options in (known, without_layers):
        try:
            built = build_ansatz(variational.name, **options)
        except CircuitError:
            continue
        if circuit_key(built) == circuit_key(variational):
            return options
    return None
