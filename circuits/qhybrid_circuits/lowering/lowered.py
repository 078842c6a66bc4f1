from dataclasses import dataclass
from typing import NamedTuple

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits.plain import on_qubits


class Candidate(NamedTuple):
    """One way to lower a circuit.

    Attributes:
        circuit: In the target's gates, as wide as the target.
        final_layout: Physical qubit of each logical one at the end.
        swaps: Swaps that were added.
    """

    circuit: QuantumCircuit
    final_layout: tuple[int, ...]
    swaps: int


@dataclass(frozen=True, eq=False)
class LoweredCircuit:
    """A circuit in the gates of a target, on its couplings.

    Attributes:
        name: The name of the circuit that was lowered.
        circuit: As wide as the target, without measurements; parameters that were not bound are
            still symbolic. Not to be changed afterwards.
        qubits: The physical qubits in use, ascending.
        final_layout: Logical qubit i ends on physical qubit `final_layout[i]`. It may start on
            another; all qubits in use start in |0>.
        fractional: Whether the target's fractional gates were used.
        success_probability: Estimated success probability (ESP): that no gate, idling or readout
            error happens. None where the target has no calibration.
        swaps: Swaps added because qubits are not neighbours, including those merged into blocks; 0
            where other gates moved the qubits; None where it is not known.

    Example:
        >>> from qiskit_ibm_runtime.fake_provider import FakeManilaV2
        >>> from qhybrid_circuits import build_ansatz, lower
        >>> circuit = build_ansatz("basic_entangling", qubits=3, layers=1)
        >>> lowered = lower(circuit, FakeManilaV2().target, weights=[0.1, 0.2, 0.3])
        >>> [lowered.apply_layout(each).num_qubits for each in circuit.observables]
        [5, 5, 5]
    """

    name: str
    circuit: QuantumCircuit
    qubits: tuple[int, ...]
    final_layout: tuple[int, ...]
    fractional: bool
    success_probability: float | None
    swaps: int | None = None

    @property
    def num_logical_qubits(self) -> int:
        return len(self.final_layout)

    def apply_layout(self, observable: SparsePauliOp) -> SparsePauliOp:
        """Return an observable of the `num_logical_qubits` qubits as one of the QPU's qubits."""
        return observable.apply_layout(list(self.final_layout), self.circuit.num_qubits)

    def compact(self) -> tuple[QuantumCircuit, tuple[int, ...]]:
        """Return the circuit on the qubits in use alone, and the final layout in their numbers.

        Qubit k of the circuit is `qubits[k]`, so a simulator need not hold the whole QPU.
        """
        final = tuple(map(self.qubits.index, self.final_layout))
        return on_qubits(self.circuit, self.qubits), final

    def __repr__(self) -> str:
        chance = self.success_probability
        success = "success not known" if chance is None else f"success {chance:.3f}"
        return (
            f"LoweredCircuit('{self.name}', {self.num_logical_qubits} qubits on "
            f"{len(self.qubits)} of {self.circuit.num_qubits}, {success})"
        )
