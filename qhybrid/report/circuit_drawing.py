"""A circuit as an SVG picture."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from qiskit.circuit import ControlledGate

from qhybrid.report.markup import fill
from qhybrid_circuits.variational import VariationalCircuit

#: Gates that are drawn; a picture of more tells nobody anything.
MOST_GATES = 600


@dataclass(frozen=True)
class _Placed:
    """A gate in its column."""

    column: int
    label: str
    parameters: str
    controls: tuple[int, ...]
    targets: tuple[int, ...]
    kind: str


def draw_circuit(variational: VariationalCircuit, dead_weights: Collection[int]) -> Markup:
    """Return a circuit as SVG, time from left to right, qubit 0 at the top.

    Gates that have no parameters but `dead_weights`, by index, are drawn as without effect.
    """
    gates = _place(variational, dead_weights)
    columns = 1 + max((gate.column for gate in gates), default=0)
    name, wires = variational.name, variational.num_qubits
    return fill("circuit.svg", name=name, wires=wires, columns=columns, gates=gates)


def _place(variational: VariationalCircuit, dead_weights: Collection[int]) -> list[_Placed]:
    kinds = dict.fromkeys(variational.inputs, "input")
    for index, weight in enumerate(variational.weights):
        kinds[weight] = "dead" if index in dead_weights else "weight"
    free = [0] * variational.num_qubits
    placed = []
    for item in variational.circuit.data[:MOST_GATES]:
        qubits = [variational.circuit.find_bit(bit).index for bit in item.qubits]
        spanned = range(min(qubits), max(qubits) + 1) if qubits else range(0)
        column = max((free[qubit] for qubit in spanned), default=0)
        for qubit in spanned:
            free[qubit] = column + 1
        if item.operation.name != "barrier" and qubits:
            placed.append(_describe(item.operation, qubits, column, kinds))
    return placed


def _describe(operation: Any, qubits: Sequence[int], column: int, kinds: Any) -> _Placed:
    found = [p for value in operation.params for p in getattr(value, "parameters", ())]
    present = {kinds.get(parameter, "constant") for parameter in found} or {"constant"}
    kind = next(each for each in ("weight", "input", "dead", "constant") if each in present)
    count, label = 0, operation.name
    if isinstance(operation, ControlledGate):
        count, label = operation.num_ctrl_qubits, operation.base_gate.name
    names = ", ".join(sorted(parameter.name for parameter in found))
    if not found and operation.params:
        values = operation.params
        names = ", ".join(f"{v:.2f}" if isinstance(v, int | float) else "" for v in values)
    return _Placed(column, label.upper(), names, tuple(qubits[:count]), tuple(qubits[count:]), kind)
