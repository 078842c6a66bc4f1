from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target

from qhybrid_circuits.lowering.cost.success import success_probability
from qhybrid_circuits.plain import used_qubits


@dataclass(frozen=True, kw_only=True)
class CircuitFigures:
    """What one circuit costs, counted gate by gate.

    Attributes:
        physical_qubits: Qubits of the QPU that a gate or a readout acts on; None where there is
            no QPU.
        depth: Gates on the longest path, of every kind, without readout.
        gate_counts: Gate name -> how often it stands in the circuit, without readout.
        two_qubit_gates: Gates on two or more qubits.
        two_qubit_depth: Of these, how many stand on the longest path.
        swaps: Swaps added because qubits are not neighbours, counted before they are decomposed or
            merged with other gates; None where that is not known.
        duration_us: Microseconds from the first gate to the end of the readout, gates as early as
            possible; None where the target lacks the duration of a gate in use.
        success_probability: The ESP, 0 to 1; None where the target lacks the error of a gate in use
            or of the readout.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qhybrid_circuits import CircuitFigures, resource_report
        >>> figures = resource_report(QuantumCircuit(2), None)
        >>> isinstance(figures, CircuitFigures), figures.two_qubit_gates
        (True, 0)
    """

    physical_qubits: int | None
    depth: int
    gate_counts: Mapping[str, int]
    two_qubit_gates: int
    two_qubit_depth: int
    swaps: int | None
    duration_us: float | None
    success_probability: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON has."""
        return {**asdict(self), "gate_counts": dict(self.gate_counts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CircuitFigures":
        """Return what `to_dict` was called on."""
        return cls(**values)


def logical_figures(circuit: QuantumCircuit) -> CircuitFigures:
    """Return the figures of a circuit without a QPU."""
    names = ("physical_qubits", "swaps", "duration_us", "success_probability")
    unknown: dict[str, Any] = dict.fromkeys(names)
    return CircuitFigures(**unknown, **_counts(circuit))


def device_figures(
    circuit: QuantumCircuit, target: Target, measured: Iterable[int], swaps: int | None
) -> CircuitFigures:
    """Return what a circuit in a QPU's own gates costs there.

    It is as wide as the target, and its physical qubits `measured` are read out at the end;
    `swaps` were added for the couplings' sake.
    """
    measured = tuple(measured)
    return CircuitFigures(
        physical_qubits=len(used_qubits(circuit, measured)),
        swaps=swaps,
        duration_us=_duration_us(circuit, target, measured),
        success_probability=success_probability(circuit, target, measured),
        **_counts(circuit),
    )


def _counts(circuit: QuantumCircuit) -> dict[str, Any]:
    counts = {str(name): int(count) for name, count in circuit.count_ops().items()}
    counts.pop("barrier", None)
    return {
        "depth": int(circuit.depth(lambda item: item.operation.name != "barrier")),
        "gate_counts": counts,
        "two_qubit_gates": sum(map(_acts_on_more, circuit.data)),
        "two_qubit_depth": int(circuit.depth(_acts_on_more)),
    }


def _acts_on_more(item: Any) -> bool:
    return len(item.qubits) > 1 and item.operation.name != "barrier"


def _duration_us(
    circuit: QuantumCircuit, target: Target, measured: tuple[int, ...]
) -> float | None:
    read = QuantumCircuit(circuit.num_qubits, len(measured))
    read.compose(circuit, inplace=True)
    read.measure(measured, range(len(measured)))
    try:
        seconds = read.estimate_duration(target)
    except QiskitError:
        return None
    return round(float(seconds) * 1e6, 6)
