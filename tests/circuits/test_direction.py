"""HQConv and FQConv as the paper's text has them, with control and target exchanged."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator, Statevector

from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz import build_ansatz


def _hqconv_pairs(channels: int) -> Iterator[tuple[str, int, int]]:
    """Section 3.1, block A: q_p controls q_(p+1) of its channel, CRZ first; block B: q_0, q_4."""
    for channel in reversed(range(channels)):
        for pixel in range(4):
            for gate in ("crz", "crx"):
                yield gate, 4 * channel + pixel, 4 * channel + (pixel + 1) % 4
    for channel in reversed(range(channels - 1)):
        for gate in ("crz", "crx"):
            yield gate, 4 * channel, 4 * channel + 4


def _fqconv_pairs(channels: int) -> Iterator[tuple[str, int, int]]:
    """Section 3.1, blocks C and D: q_p controls q_(p+4)."""
    for channel in range(channels):
        for gate in ("crz", "crx"):
            for pixel in reversed(range(4)):
                control = 4 * channel + pixel
                yield gate, control, (control + 4) % (4 * channels)


_PAIRS = {"hqconv": _hqconv_pairs, "fqconv": _fqconv_pairs}


def _of_the_text(name: str, channels: int, inputs: Sequence, weights: Sequence) -> QuantumCircuit:
    circuit = QuantumCircuit(4 * channels)
    for qubit, angle in enumerate(inputs):
        circuit.rx(angle, qubit)
    for (gate, control, target), weight in zip(_PAIRS[name](channels), weights, strict=True):
        getattr(circuit, gate)(2 * np.pi * weight, control, target)
    return circuit


def _exchange(name: str, channels: int) -> list[int]:
    """Where each qubit goes: pixels 1 and 3 change places, or channels c and -c."""
    if name == "hqconv":
        return [4 * channel + (-pixel) % 4 for channel in range(channels) for pixel in range(4)]
    return [4 * (-channel % channels) + pixel for channel in range(channels) for pixel in range(4)]


def _exchanged(ours: VariationalCircuit, places: list[int]) -> QuantumCircuit:
    """Put our qubit q in the place of qubit places[q], with the input of that place."""
    circuit = QuantumCircuit(len(places))
    circuit.compose(ours.circuit, places, inplace=True)
    moved = {ours.inputs[q]: Parameter(f"y{place}") for q, place in enumerate(places)}
    return circuit.assign_parameters(moved)


@pytest.mark.parametrize("name", ["hqconv", "fqconv"])
def test_places_are_those_of_the_docstrings(name: str) -> None:
    places = np.reshape(_exchange(name, 3), (3, 4))
    assert places.tolist() == {
        "hqconv": [[0, 3, 2, 1], [4, 7, 6, 5], [8, 11, 10, 9]],
        "fqconv": [[0, 1, 2, 3], [8, 9, 10, 11], [4, 5, 6, 7]],
    }.get(name)


@pytest.mark.parametrize("name", ["hqconv", "fqconv"])
@pytest.mark.parametrize("channels", [2, 3])
def test_exchanged_circuits_have_the_gates_of_the_text(name: str, channels: int) -> None:
    """Gate by gate, with symbols in the places of all angles."""
    ours = build_ansatz(name, channels=channels, layers=1)
    found = _exchanged(ours, _exchange(name, channels))
    moved = {p.name: p for p in found.parameters}
    inputs = [moved[f"y{qubit}"] for qubit in range(4 * channels)]
    assert found == _of_the_text(name, channels, inputs, ours.weights)
    # Two channels control each other either way.
    same = ours.circuit == _of_the_text(name, channels, ours.inputs, ours.weights)
    assert same == ((name, channels) == ("fqconv", 2))


@pytest.mark.parametrize("name", ["hqconv", "fqconv"])
def test_exchanged_circuits_have_the_unitary_of_the_text(
    name: str, rng: np.random.Generator
) -> None:
    ours = build_ansatz(name, channels=2, layers=1)
    places = _exchange(name, 2)
    inputs, weights = rng.uniform(-2, 2, 8), rng.uniform(0, 1, ours.num_weights)
    found = QuantumCircuit(8)
    found.compose(
        ours.circuit.assign_parameters(_bound(ours, inputs, weights)), places, inplace=True
    )
    text = _of_the_text(name, 2, inputs[np.argsort(places)], weights)
    np.testing.assert_allclose(Operator(found).data, Operator(text).data, atol=1e-12)


@pytest.mark.parametrize("name", ["hqconv", "fqconv"])
def test_exchanged_outputs_are_those_of_the_text(name: str, rng: np.random.Generator) -> None:
    """At the published size, for the values that a network reads."""
    ours, places = build_ansatz(name), _exchange(name, 3)
    inputs, weights = rng.uniform(-2, 2, 12), rng.uniform(0, 1, ours.num_weights)
    state = Statevector(ours.circuit.assign_parameters(_bound(ours, inputs[places], weights)))
    values = np.array([state.expectation_value(z).real for z in ours.observables])
    expected = QuantumCircuit(12)
    per_layer = np.split(weights, 3)
    expected.compose(_of_the_text(name, 3, inputs, per_layer[0]), inplace=True)
    for layer in per_layer[1:]:
        expected.compose(_of_the_text(name, 3, np.zeros(12), layer), inplace=True)
    state = Statevector(expected)
    read = np.array([state.expectation_value(z).real for z in ours.observables])
    np.testing.assert_allclose(values, read[places], atol=1e-12)
    assert np.abs(values - read).max() > 1e-3


def _bound(ours: VariationalCircuit, inputs: np.ndarray, weights: np.ndarray) -> dict:
    return dict(zip((*ours.inputs, *ours.weights), (*inputs, *weights), strict=True))
