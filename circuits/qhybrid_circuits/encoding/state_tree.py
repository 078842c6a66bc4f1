"""Amplitude encoding as rotations and CX gates whose angles are computed for each sample.

Mottonen et al., Quantum Inf. Comput. 5, 467 (2005): from the most significant qubit to the least, a
rotation about Y splits each norm into those of the two halves below it, whichever the qubits before
it are, and one about Z the phases. One circuit serves all amplitudes, so it is lowered once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import (
    Operation,
    Parameter,
    ParameterExpression,
    ParameterVector,
    QuantumCircuit,
)

from qhybrid_circuits.encoding.amplitude import (
    AmplitudeEncoding,
    check_amplitudes,
    encoding_in,
    not_first,
)

Array = NDArray[np.float64]

#: Instructions that leave |0...0> as it is.
_IDLE = ("barrier", "delay", "id")

#: Name of the vector of angles; underscores follow where the circuit has one of this name.
_NAME = "amplitudes"


@dataclass(frozen=True, eq=False)
class PreparedCircuit:
    """A circuit whose symbolic amplitude encodings have become gates.

    Attributes:
        circuit: With rotations by angles that are parameters of their own.
        encodings: Those that were replaced, in order.
        angles: The parameters that each of them became.
    """

    circuit: QuantumCircuit
    encodings: tuple[AmplitudeEncoding, ...]
    angles: tuple[tuple[Parameter, ...], ...]


def with_preparation_gates(circuit: QuantumCircuit) -> PreparedCircuit:
    """Replace amplitude encodings of symbolic features by gates that can prepare any amplitudes.

    Encodings of numbers stay: they know better gates themselves. Where there is nothing to replace
    the circuit is returned as it is. Instructions that hold encodings are decomposed.

    Args:
        circuit: Its encodings may be symbolic; it is left as it is.

    Raises:
        CircuitError: A symbolic encoding is not the first instruction on its qubits.

    Example:
        >>> from qiskit.circuit import ParameterVector
        >>> from qhybrid_circuits.encoding import amplitude_encoding, with_preparation_gates
        >>> prepared = with_preparation_gates(amplitude_encoding(ParameterVector("x", 4)))
        >>> len(prepared.encodings)
        1
    """
    circuit = unwrapped(circuit)
    found = [symbolic_encoding(item.operation) for item in circuit.data]
    encodings = [encoding for encoding in found if encoding is not None]
    if not encodings:
        return PreparedCircuit(circuit, (), ())
    vector = ParameterVector(_free_name(circuit), sum(map(num_angles, encodings)))
    parameters, groups = iter(vector), []
    prepared = circuit.copy_empty_like()
    touched: set[object] = set()
    for item, encoding in zip(circuit.data, found, strict=True):
        if encoding is None:
            prepared.append(item)
        else:
            if not touched.isdisjoint(item.qubits):
                raise not_first([circuit.find_bit(bit).index for bit in item.qubits])
            groups.append(tuple(next(parameters) for _ in range(num_angles(encoding))))
            prepared.compose(_tree(encoding, groups[-1]), item.qubits, inplace=True)
        if item.operation.name not in _IDLE:
            touched.update(item.qubits)
    return PreparedCircuit(prepared, tuple(encodings), tuple(groups))


def unwrapped(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit with the instructions decomposed that hold a symbolic encoding."""
    if not any(_wraps(item.operation) for item in circuit.data):
        return circuit
    flat = circuit.copy_empty_like()
    for item in circuit.data:
        if _wraps(item.operation):
            flat.compose(unwrapped(item.operation.definition), item.qubits, inplace=True)
        else:
            flat.append(item)
    return flat


def _wraps(operation: Operation) -> bool:
    """Return whether an instruction is not, but holds, a symbolic encoding."""
    if getattr(operation, "_standard_gate", None) is not None or symbolic_encoding(operation):
        return False
    definition = getattr(operation, "definition", None)
    return definition is not None and any(
        symbolic_encoding(item.operation) or _wraps(item.operation) for item in definition.data
    )


def num_angles(encoding: AmplitudeEncoding) -> int:
    """Return how many angles an encoding's gates have."""
    return (encoding.num_amplitudes - 1) * (2 if encoding.is_complex else 1)


def preparation_angles(features: Array, num_qubits: int) -> Array:
    """Return the angles with which the gates prepare amplitudes proportional to features.

    Args:
        features: Real parts, then imaginary parts if any, shape (N, 2**n_qubits or twice that).
        num_qubits: Of the encoding.

    Returns:
        In radians, in the order of the encoding's parameters, shape (N, n_angles).

    Raises:
        NotFiniteError: A feature is NaN or infinite.
        RequestError: All of a sample's features are zero.

    Example:
        >>> import numpy as np
        >>> from qhybrid_circuits.encoding import preparation_angles
        >>> len(preparation_angles(np.array([[1.0, 0.0, 0.0, 0.0]]), num_qubits=2))
        1
    """
    check_amplitudes(features)
    count = 1 << num_qubits
    real = features[:, :count] / np.abs(features).max(axis=1, keepdims=True)
    if features.shape[1] == count:
        return np.concatenate([_gray(level) for level in _splits(real)], axis=1)
    imaginary = features[:, count:] / np.abs(features).max(axis=1, keepdims=True)
    norms = _splits(np.hypot(real, imaginary))
    phases = _differences(np.arctan2(imaginary, real))
    levels = [_gray(angles) for pair in zip(norms, phases, strict=True) for angles in pair]
    return np.concatenate(levels, axis=1)


def _splits(amplitudes: Array) -> list[Array]:
    """Return the Y angles of each level (N, 2**level), of amplitudes (N, 2**n), signs kept."""
    levels: list[Array] = []
    while amplitudes.shape[1] > 1:
        # Neighbours differ in the least significant qubit, which is the last one to be turned.
        zero, one = amplitudes[:, 0::2], amplitudes[:, 1::2]
        levels.append(2 * np.arctan2(one, zero))
        amplitudes = np.hypot(zero, one)
    return levels[::-1]


def _differences(phases: Array) -> list[Array]:
    """Return the Z angles of each level (N, 2**level), of phases (N, 2**n)."""
    levels: list[Array] = []
    while phases.shape[1] > 1:
        levels.append(phases[:, 1::2] - phases[:, 0::2])
        phases = (phases[:, 1::2] + phases[:, 0::2]) / 2
    return levels[::-1]


def _gray(angles: Array) -> Array:
    """Return what to turn by between CX gates, so that control value i turns by `angles[:, i]`.

    Mottonen et al., equation (3): the sign of turn j is the parity of i and the j-th Gray code.
    """
    index = np.arange(angles.shape[1])
    odd = np.bitwise_count(index[:, None] & (index ^ (index >> 1))) & 1
    return np.asarray(angles @ (1 - 2.0 * odd) / len(index))


def _tree(encoding: AmplitudeEncoding, angles: Sequence[ParameterExpression]) -> QuantumCircuit:
    """Return the gates that take |0...0> to an encoding's state."""
    circuit = QuantumCircuit(encoding.num_qubits)
    values = iter(angles)
    for level in range(encoding.num_qubits):
        target = encoding.num_qubits - 1 - level
        flips = _flips(level, target)
        for flip in flips:
            circuit.ry(next(values), target)
            if flip is not None:
                circuit.cx(flip, target)
        if not encoding.is_complex:
            continue
        if level:
            # The rotations about Z come in the opposite order, so that their first CX is this one.
            circuit.data.pop()
        turns = [next(values) for _ in flips]
        for turn, flip in zip(reversed(turns), [None, *flips[-2::-1]], strict=True):
            if flip is not None:
                circuit.cx(flip, target)
            circuit.rz(turn, target)
    return circuit


def _flips(level: int, target: int) -> list[int | None]:
    """Return the control of the CX after each turn: the bit in which Gray codes j, j + 1 differ."""
    if not level:
        return [None]
    turns = range(1, 1 + (1 << level))
    bits = [min((turn & -turn).bit_length() - 1, level - 1) for turn in turns]
    return [target + 1 + bit for bit in bits]


def symbolic_encoding(operation: Operation) -> AmplitudeEncoding | None:
    """Return the amplitude encoding that an operation is, where it has features without a value."""
    encoding = encoding_in(operation)
    return encoding if encoding is not None and encoding.is_symbolic else None


def _free_name(circuit: QuantumCircuit) -> str:
    taken = {parameter.name.partition("[")[0] for parameter in circuit.parameters}
    name = _NAME
    while name in taken:
        name += "_"
    return name
