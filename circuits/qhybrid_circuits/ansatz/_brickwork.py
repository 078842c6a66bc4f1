from collections.abc import Sequence
from typing import Literal

import numpy as np
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, pauli_basis

from qhybrid_circuits.ansatz._layers import check_choice, check_count
from qhybrid_circuits.encoding import amplitude_encoding
from qhybrid_circuits.errors import CircuitError
from qhybrid_circuits.variational import VariationalCircuit

#: Whether the angles are the layer's own weights, or come in with each sample.
Angles = Literal["weights", "inputs"]

#: Whether the amplitudes that are encoded have imaginary parts.
Amplitudes = Literal["real", "complex"]

#: The most qubits of which all Pauli strings are measured: 1,023 of them.
MOST_QUBITS_OF_ALL = 5

_UNIT_ANGLES = 3


def brickwork(
    *,
    qubits: int = 4,
    layers: int = 10,
    angles: Angles = "weights",
    amplitudes: Amplitudes = "real",
    observables: str | Sequence[str] | None = None,
) -> VariationalCircuit:
    """Build amplitude encoding, then layers of two-qubit units on alternating pairs of a ring.

    Jo et al. (2026) and the code they published: the circuit between the two ends of a network. A
    layer is a unit on the pairs (0, 1), (2, 3), ..., a unit on (1, 2), (3, 4), ..., of which an
    even number of qubits closes the ring, H on every qubit, CZ down the chain, and RX on every
    qubit. A unit has three angles and a qubit's RX one: 16 a layer on four qubits, 4 a qubit on
    any even number. Angles are in radians, but a unit turns by twice its own.

    A unit with angles p0, p1, p2 is exp(i (p1 XX + p2 YY + p0 ZZ)), the part of a two-qubit gate
    that no one-qubit gates make, with three CNOTs (Vatan and Williams 2004, figure 6).

    What is measured decides what a linear map of the outputs can be. All Pauli strings are a basis
    of the Hermitian operators, so that a trained linear map of their expectation values (with a
    bias, for the identity) is the same as trained Hermitian observables on all qubits.

    Args:
        qubits: At least two; 2**qubits amplitudes are the first inputs.
        layers: Repetitions after the encoding.
        angles: "weights" makes the angles weights; "inputs" makes them inputs, after the
            amplitudes, for weights that depend on the sample.
        amplitudes: "real", or "complex": their real parts, then their imaginary parts.
        observables: Pauli strings such as "ZZII", qubit 0 on the right, in a sequence or a text
            with commas; None measures all but the identity, which takes at most 5 qubits.

    Raises:
        CircuitError: `qubits` is below two, `layers` below one, `angles` or `amplitudes` unknown,
            an observable is no Pauli string of the qubits, or there would be too many.

    Example:
        >>> from qhybrid_circuits.ansatz import brickwork
        >>> circuit = brickwork(qubits=4, layers=1)
        >>> circuit.num_qubits, circuit.num_inputs, circuit.num_weights
        (4, 16, 16)
    """
    check_count("brickwork", "qubits", qubits, least=2)
    check_count("brickwork", "layers", layers)
    check_choice("brickwork", "angles", angles, Angles)
    check_choice("brickwork", "amplitudes", amplitudes, Amplitudes)
    measured = _observables(qubits, observables)
    pairs = _pairs(qubits)
    a_layer = _UNIT_ANGLES * len(pairs) + qubits
    count = 2**qubits
    encoded = tuple(ParameterVector("x", count if amplitudes == "real" else 2 * count))
    turned = tuple(ParameterVector("w" if angles == "weights" else "a", layers * a_layer))
    circuit = QuantumCircuit(qubits, name="brickwork")
    circuit.compose(amplitude_encoding(encoded[:count], encoded[count:] or None), inplace=True)
    for first in range(0, len(turned), a_layer):
        _add_layer(circuit, pairs, turned[first : first + a_layer])
    inputs, weights = (encoded, turned) if angles == "weights" else (encoded + turned, ())
    return VariationalCircuit("brickwork", circuit, inputs, weights, measured)


def _pairs(qubits: int) -> list[tuple[int, int]]:
    """Return the pairs of a layer's units: even neighbours, then odd ones."""
    even = [(qubit, qubit + 1) for qubit in range(0, qubits - 1, 2)]
    return even + [(qubit, (qubit + 1) % qubits) for qubit in range(1, qubits, 2)]


def _add_layer(
    circuit: QuantumCircuit, pairs: Sequence[tuple[int, int]], angles: Sequence[Parameter]
) -> None:
    for number, pair in enumerate(pairs):
        first = _UNIT_ANGLES * number
        _add_unit(circuit, *pair, *angles[first : first + _UNIT_ANGLES])
    circuit.h(range(circuit.num_qubits))
    for qubit in range(circuit.num_qubits - 1):
        circuit.cz(qubit, qubit + 1)
    for qubit, angle in enumerate(angles[_UNIT_ANGLES * len(pairs) :]):
        circuit.rx(angle, qubit)


def _add_unit(
    circuit: QuantumCircuit, a: int, b: int, zz: Parameter, xx: Parameter, yy: Parameter
) -> None:
    quarter = np.pi / 2
    circuit.rz(-quarter, b)
    circuit.cx(b, a)
    circuit.rz(quarter - 2 * zz, a)
    circuit.ry(2 * xx - quarter, b)
    circuit.cx(a, b)
    circuit.ry(quarter - 2 * yy, b)
    circuit.cx(b, a)
    circuit.rz(quarter, a)


def _observables(qubits: int, chosen: str | Sequence[str] | None) -> tuple[SparsePauliOp, ...]:
    if chosen is None:
        if qubits > MOST_QUBITS_OF_ALL:
            raise CircuitError(
                f"Argument `qubits` of ansatz 'brickwork' must be at most {MOST_QUBITS_OF_ALL} "
                f"where all Pauli strings are measured, but is {qubits}; choose some with "
                "`observables`"
            )
        labels = pauli_basis(qubits).to_labels()[1:]
    elif isinstance(chosen, str):
        labels = [label.strip() for label in chosen.split(",")]
    else:
        labels = [str(label) for label in chosen]
    for label in labels:
        if len(label) != qubits or set(label) - set("IXYZ") or set(label) == {"I"}:
            raise CircuitError(
                f"Argument `observables` of ansatz 'brickwork' must hold strings of {qubits} "
                f"letters I, X, Y and Z, not all I, but has '{label}'"
            )
    return tuple(SparsePauliOp(label) for label in labels)
