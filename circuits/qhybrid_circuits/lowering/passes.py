"""Lowering as a Qiskit pass manager, for every place that takes one."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from qiskit.circuit import Clbit, QuantumCircuit, QuantumRegister, Qubit
from qiskit.converters import circuit_to_dag, dag_to_circuit
from qiskit.dagcircuit import DAGCircuit
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Layout, PassManager, Target
from qiskit.transpiler.basepasses import TransformationPass

from qhybrid_circuits.disk_cache import LoweringCache
from qhybrid_circuits.encoding.state_tree import with_preparation_gates
from qhybrid_circuits.errors import CircuitError
from qhybrid_circuits.lowering.lower import lower
from qhybrid_circuits.lowering.plan import Preference
from qhybrid_circuits.lowering.rzz_folding import RZZ_BOUNDS
from qhybrid_circuits.lowering.targets import target_of, with_fractional_gates
from qhybrid_circuits.plain import flattened, gates_only


def pass_manager(
    target: Target | BackendV2,
    *,
    observables: Sequence[SparsePauliOp] | None = None,
    fractional: bool = False,
    prefer: Preference = "success",
    seeds: Iterable[int] = range(4),
    cache: LoweringCache | Path | str | bool = True,
) -> PassManager:
    """Return a pass manager that lowers circuits to a target as `lower` does.

    The state that a circuit prepares from |0...0> stays the same, not what it does to other states:
    a layout whose initial and final qubits are the same describes all of it. Parameters are kept.
    Measurements at the end are put where the qubits end. A circuit as wide as the target and in its
    gates is left as it is, so that to run the manager on a result changes nothing.

    Args:
        target: The QPU, or a Qiskit backend of it.
        observables: What will be measured; the qubits measured in a circuit, or all, if None.
        fractional: Use rx of any angle and rzz between 0 and pi/2.
        prefer: "success" for the highest ESP, "gates" for the fewest two-qubit gates.
        seeds: Seeds for Qiskit's passes, where they are used.
        cache: A folder for results, True for the user's cache folder, or False for none.

    Raises:
        RequestError: `target` is neither a Target nor a backend.
        CircuitError: `fractional` is asked for of a target without cz. Also from the manager's
            `run`: `lower` refuses the circuit; it has an instruction that is no gate; an amplitude
            encoding has symbolic features, which would need other parameters.

    Example:
        >>> from qiskit_ibm_runtime.fake_provider import FakeManilaV2
        >>> from qhybrid_circuits import build_ansatz, pass_manager
        >>> ansatz = build_ansatz("basic_entangling", qubits=3, layers=1)
        >>> isa = pass_manager(FakeManilaV2().target).run(ansatz.circuit)
        >>> pubs = [(isa, each.apply_layout(isa.layout)) for each in ansatz.observables]
        >>> isa.num_qubits, len(pubs)
        (5, 3)
    """
    options = {"observables": observables, "fractional": fractional, "prefer": prefer}
    return PassManager([LoweringPass(target, **options, seeds=tuple(seeds), cache=cache)])


class LoweringPass(TransformationPass):  # type: ignore[misc]
    """The pass of `pass_manager`, to be put among others; takes the same arguments."""

    def __init__(self, target: Target | BackendV2, **options: Any) -> None:
        super().__init__()
        self.options = options
        target = target_of(target)
        self.target = with_fractional_gates(target) if options.get("fractional") else target

    def run(self, dag: DAGCircuit) -> DAGCircuit:
        """Return the lowered circuit, and write its layout into the property set."""
        if _in_target_gates(dag, self.target):
            self._set_layout(dag, range(dag.num_qubits()))
            return dag
        circuit, measured = _split(dag_to_circuit(dag))
        options = dict(self.options)
        if options.get("observables") is None and measured:
            place = sorted({circuit.find_bit(qubit).index for qubit, _ in measured})
            terms = [("Z" * len(place), place, 1.0)]
            options["observables"] = [SparsePauliOp.from_sparse_list(terms, circuit.num_qubits)]
        lowered = lower(circuit, self.target, **options)
        self._set_layout(dag, lowered.final_layout)
        result = lowered.circuit.copy()
        result.add_bits(dag.clbits)
        for register in dag.cregs.values():
            result.add_register(register)
        for qubit, clbit in measured:
            result.measure(lowered.final_layout[circuit.find_bit(qubit).index], clbit)
        result.name, result.metadata = dag.name, dag.metadata
        return circuit_to_dag(result, copy_operations=False)

    def _set_layout(self, dag: DAGCircuit, final: Sequence[int]) -> None:
        """Set what Qiskit makes a `TranspileLayout` of: input qubits, then ancillas."""
        free = sorted(set(range(self.target.num_qubits)) - set(final))
        ancillas = QuantumRegister(len(free), "ancilla")
        virtual = [*dag.qubits, *ancillas]
        layout = Layout(dict(zip(virtual, [*final, *free], strict=True)))
        for register in (*dag.qregs.values(), ancillas):
            layout.add_register(register)
        self.property_set["layout"] = layout
        self.property_set["original_qubit_indices"] = {q: k for k, q in enumerate(virtual)}
        self.property_set["num_input_qubits"] = dag.num_qubits()


def _split(circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[tuple[Qubit, Clbit]]]:
    """Return a circuit without classical bits, and the measurements that stood at its end."""
    if with_preparation_gates(circuit).encodings:
        raise CircuitError(
            f"Circuit '{circuit.name}' holds an amplitude encoding of symbolic features, whose "
            "gates have other parameters; assign the features, or run the circuit that "
            "`with_preparation_gates` returns"
        )
    flat = flattened(circuit)
    body, kept, measured = flat.copy_empty_like(), [], []
    followed = set[Qubit]()
    for item in reversed(flat.data):
        if item.operation.name == "measure" and item.qubits[0] not in followed:
            measured.append((item.qubits[0], item.clbits[0]))
            # What is measured twice is measured before the end.
            followed.add(item.qubits[0])
            continue
        if item.operation.name != "barrier":
            followed.update(item.qubits)
        kept.append(item)
    for item in reversed(kept):
        body.append(item)
    return gates_only(body), measured[::-1]


def _in_target_gates(dag: DAGCircuit, target: Target) -> bool:
    """Return whether a circuit is as wide as the target and uses only what it supports."""
    if dag.num_qubits() != target.num_qubits:
        return False
    for node in dag.op_nodes():
        place = tuple(dag.find_bit(qubit).index for qubit in node.qargs)
        angle = node.params[0] if node.name == "rzz" else RZZ_BOUNDS[0]
        if not (isinstance(angle, float) and RZZ_BOUNDS[0] <= angle <= RZZ_BOUNDS[1]):
            return False
        if node.name != "barrier" and not target.instruction_supported(node.name, place):
            return False
    return True
