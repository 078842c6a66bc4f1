"""A circuit as a plain list of gates with affine angles, from which other tools build theirs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import ParameterExpression

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.engine.angles import affine_slopes

PENNYLANE_NAMES = {
    "h": "Hadamard", "s": "S", "t": "T", "sx": "SX", "x": "PauliX", "y": "PauliY", "z": "PauliZ",
    "rx": "RX", "ry": "RY", "rz": "RZ", "p": "PhaseShift", "u": "U3", "cx": "CNOT", "cy": "CY",
    "cz": "CZ", "ch": "CH", "swap": "SWAP", "crx": "CRX", "cry": "CRY", "crz": "CRZ",
    "cp": "ControlledPhaseShift", "rxx": "IsingXX", "ryy": "IsingYY", "rzz": "IsingZZ",
}  # fmt: skip
"""Qiskit's name of a gate -> PennyLane's. Both order controls first, and wire i is qubit i."""


class UntranslatedError(Exception):
    """A circuit has what cannot be said here in another tool's gates; the tool is not to blame."""


@dataclass(frozen=True)
class Angle:
    """offset + slope * parameter; number i of the inputs and weights side by side, or None."""

    offset: float
    slope: float = 0.0
    parameter: int | None = None


@dataclass(frozen=True)
class PlainGate:
    """A gate by its Qiskit name."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...]


def plain_gates(variational: VariationalCircuit) -> list[PlainGate]:
    """Return the circuit's gates in order.

    Raises:
        UntranslatedError: An angle has several parameters, or is not affine in its one.
    """
    position = {p: i for i, p in enumerate((*variational.inputs, *variational.weights))}
    circuit = variational.circuit
    return [
        PlainGate(
            instruction.operation.name,
            tuple(circuit.find_bit(bit).index for bit in instruction.qubits),
            tuple(_angle(p, position) for p in instruction.operation.params),
        )
        for instruction in circuit.data
    ]


def _angle(expression: ParameterExpression | float, position: Mapping[object, int]) -> Angle:
    if not isinstance(expression, ParameterExpression) or not expression.parameters:
        return Angle(float(expression))
    slopes = affine_slopes(expression)
    if slopes is None or len(slopes) != 1:
        raise UntranslatedError(f"the angle {expression} is not affine in one parameter")
    ((parameter, slope),) = slopes.items()
    return Angle(float(expression.bind({parameter: 0.0})), slope, position[parameter])


def numeric(gate: PlainGate, parameters: np.ndarray) -> list[float]:
    """Return the gate's angles in radians for inputs and weights side by side."""
    return [
        a.offset + (0.0 if a.parameter is None else a.slope * float(parameters[a.parameter]))
        for a in gate.angles
    ]
