"""A circuit as an SVG picture."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from qiskit.circuit import ControlledGate, QuantumCircuit

from qhybrid_circuits.variational import VariationalCircuit

#: Gates that are drawn; a picture of more tells nobody anything.
MOST_GATES = 600

#: Pixels: between columns and wires, of a box, and left of the first column.
_COLUMN, _WIRE, _BOX, _HEIGHT, _LEFT = 58, 38, 48, 28, 44


@dataclass(frozen=True)
class _Placed:
    """A gate in its column."""

    column: int
    label: str
    parameters: str
    controls: tuple[int, ...]
    targets: tuple[int, ...]
    kind: str


def draw_circuit(variational: VariationalCircuit, dead_weights: Collection[int]) -> str:
    """Return a circuit as SVG, time from left to right, qubit 0 at the top.

    Args:
        variational: What to draw.
        dead_weights: Indices of weights without effect; gates that have no other parameters are
            drawn as such.
    """
    placed = _place(variational, dead_weights)
    columns = 1 + max((gate.column for gate in placed), default=0)
    wires = variational.num_qubits
    width, height = _LEFT + columns * _COLUMN + 20, wires * _WIRE + 12
    parts = [
        f'<svg class="circuit" role="img" aria-label="circuit {escape(variational.name)}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    for qubit in range(wires):
        y = _y(qubit)
        parts.append(f'<text x="4" y="{y + 4}" class="wire-name">q{qubit}</text>')
        parts.append(f'<line x1="{_LEFT - 10}" y1="{y}" x2="{width - 8}" y2="{y}" class="wire"/>')
    parts += [_gate(gate) for gate in placed]
    return "\n".join([*parts, "</svg>"])


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
        names = ", ".join(_number(value) for value in operation.params)
    return _Placed(column, label.upper(), names, tuple(qubits[:count]), tuple(qubits[count:]), kind)


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else ""


def _gate(gate: _Placed) -> str:
    x = _LEFT + gate.column * _COLUMN + _COLUMN // 2
    touched = [*gate.controls, *gate.targets]
    parts = [f'<g class="gate {gate.kind}"><title>{escape(_title(gate))}</title>']
    if len(touched) > 1:
        top, bottom = _y(min(touched)), _y(max(touched))
        parts.append(f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" class="link"/>')
    parts += [f'<circle cx="{x}" cy="{_y(qubit)}" r="4.5"/>' for qubit in gate.controls]
    parts += [_box(gate, x, _y(qubit)) for qubit in gate.targets]
    return "".join([*parts, "</g>"])


def _box(gate: _Placed, x: int, y: int) -> str:
    label, parameters = escape(gate.label[:7]), escape(_short(gate.parameters))
    lines = f'<text x="{x}" y="{y + (4 if not parameters else -2)}">{label}</text>'
    if parameters:
        lines += f'<text x="{x}" y="{y + 10}" class="parameter">{parameters}</text>'
    left, top = x - _BOX // 2, y - _HEIGHT // 2
    return f'<rect x="{left}" y="{top}" width="{_BOX}" height="{_HEIGHT}" rx="4"/>{lines}'


def _short(text: str) -> str:
    return text if len(text) <= 8 else f"{text[:7]}…"


def _title(gate: _Placed) -> str:
    controls = f", control {', '.join(map(str, gate.controls))}" if gate.controls else ""
    qubits = ", ".join(map(str, gate.targets))
    what = f"{gate.label}({gate.parameters})" if gate.parameters else gate.label
    effect = "; without effect" if gate.kind == "dead" else ""
    return f"{what} on qubit {qubits}{controls}{effect}"


def _y(qubit: int) -> int:
    return qubit * _WIRE + 24


def is_cut(circuit: QuantumCircuit) -> bool:
    """Return whether a circuit has more gates than are drawn."""
    return len(circuit.data) > MOST_GATES
