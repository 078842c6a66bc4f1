from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import CircuitInstruction, Instruction, Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.synthesis import OneQubitEulerDecomposer
from qiskit_aer import AerSimulator

from qhybrid_circuits import QHybridError
from qhybrid_circuits.caching import Cache, Identity
from qhybrid_runtime.backends.amplitude_gates import AmplitudeGates
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.exact_estimator import ExactEstimator
from qhybrid_runtime.backends.info import EXACT_GRADIENTS
from qhybrid_runtime.checks import check_whole
from qhybrid_runtime.engine.observables import ObservableSets
from qhybrid_runtime.machine import processors
from qhybrid_runtime.standard_gates import is_standard, symbolic_params, with_standard_gates
from qhybrid_runtime.tasks import Task, constant_columns

#: The only gates that are left symbolic. Aer 0.18 binds symbolic crx, cry, crz and cp wrongly and
#: silently (qiskit-aer issues 2323, 2391, 2403).
_SYMBOLIC = frozenset({"rx", "ry", "rz"})

#: Bytes of a task's states up to which Aer hands them out: one copy takes less time than Aer's own
#: pass over the state for each observable.
_STATE_BYTES = 1 << 26

#: Circuits that an estimator remembers to be made of gates that Aer knows.
_KEPT = 64

_EULER = OneQubitEulerDecomposer("U")


class AerBackend(Backend):
    """Qiskit Aer's statevector simulator: exact values, gradients from the engine's adjoint."""

    name = "aer"
    exact = True
    gradients = EXACT_GRADIENTS

    def __init__(self, threads: int | None = None) -> None:
        """Make the simulator.

        Args:
            threads: Circuits that are simulated at once; one a processor where omitted.

        Raises:
            RequestError: `threads` is not a positive whole number.
        """
        self._estimator = AerStatevectorEstimator(threads)

    def estimator(self) -> "AerStatevectorEstimator":
        """Return the primitive, shared by all layers of this backend."""
        return self._estimator


class AerStatevectorEstimator(ExactEstimator):
    """Exact expectation values from Aer's statevector simulator, in double precision.

    Parameters that all samples share are bound first. What is left, the inputs, goes to Aer as
    parameter bindings, so that one run holds every sample of every PUB.
    """

    def __init__(self, threads: int | None = None) -> None:
        """Make the simulator; the argument is that of `AerBackend`."""
        super().__init__()
        if threads is None:
            threads = processors()
        check_whole("`threads`", threads, 1)
        # Circuits of this size are too small to share one among threads.
        self._simulator = AerSimulator(
            method="statevector", max_parallel_threads=threads, max_parallel_experiments=threads
        )
        self._native: Cache[bool] = Cache(_KEPT)
        self._amplitudes = AmplitudeGates()
        self._observed = ObservableSets()

    def _evaluate(self, tasks: Sequence[Task]) -> list[np.ndarray]:
        tasks = [self._amplitudes.task(task) for task in tasks]
        runs = [index for index, task in enumerate(tasks) if len(task.values)]
        prepared = {index: self._prepare(tasks[index]) for index in runs}
        values = [np.empty((len(task.values), len(task.observables))) for task in tasks]
        if not runs:
            return values
        result = self._simulator.run(
            [prepared[index][0] for index in runs],
            parameter_binds=[prepared[index][1] for index in runs],
            shots=1,
        ).result()
        if not result.success:
            raise QHybridError(f"Aer did not simulate the circuit: {result.status}")
        experiment = 0
        for index in runs:
            # Without symbols there is one experiment, and it serves every sample.
            count = len(tasks[index].values) if prepared[index][1] else 1
            data = [result.data(number) for number in range(experiment, experiment + count)]
            values[index][:] = self._values(tasks[index], data)
            experiment += count
        return values

    def _prepare(self, task: Task) -> tuple[QuantumCircuit, dict[Parameter, list[float]]]:
        """Return the circuit to run with its saves, and the values of what is still symbolic."""
        shared = constant_columns(task.values)
        parameters = list(task.circuit.parameters)
        fixed = {p: float(task.values[0, i]) for i, p in enumerate(parameters) if shared[i]}
        bound = task.circuit.assign_parameters(fixed)
        # Looking at every gate takes longer than binding.
        key = (Identity(task.circuit), shared.tobytes())
        if self._native.get(key, lambda: _is_native_circuit(bound)):
            circuit = merge_controlled_pairs(bound)
        else:
            circuit = _in_native_gates(merge_controlled_pairs(with_standard_gates(bound)))
        # No expectation value sees it, and Aer cannot bind a symbolic one.
        circuit.global_phase = 0
        if _saves_states(task):
            circuit.save_statevector()
        else:
            for row, observable in enumerate(task.observables):
                _save(circuit, observable, str(row))
        free = [i for i, p in enumerate(parameters) if not shared[i]]
        return circuit, {parameters[i]: task.values[:, i].tolist() for i in free}

    def _values(self, task: Task, data: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return the expectation values (N, n_observables) from what each experiment saved."""
        if not _saves_states(task):
            rows = range(len(task.observables))
            return np.array([[sample[str(row)] for row in rows] for sample in data])
        states = np.array([np.asarray(sample["statevector"]) for sample in data])
        observables = self._observed.get(task.observables, task.circuit.num_qubits)
        return np.asarray(observables.expectations(torch.from_numpy(states.T)[None])[0])


def _saves_states(task: Task) -> bool:
    """Return whether the simulator hands out states rather than expectation values."""
    needed: int = len(task.values) * 16 << task.circuit.num_qubits
    return needed <= _STATE_BYTES


def _save(circuit: QuantumCircuit, observable: SparsePauliOp, label: str) -> None:
    """Save an expectation value, looking only at the qubits that the observable is about."""
    support = np.flatnonzero((observable.paulis.x | observable.paulis.z).any(axis=0)).tolist()
    qubits = support or [0]
    # Pauli labels are written from the last qubit to the first.
    labels = ["".join(p[-1 - q] for q in reversed(qubits)) for p in observable.paulis.to_labels()]
    reduced = SparsePauliOp(labels, observable.coeffs)
    circuit.save_expectation_value(reduced, qubits, label=label)


def _in_native_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit of gates that Aer knows, its symbolic ones all plain rotations."""
    if all(_is_native(instruction.operation) for instruction in circuit.data):
        return circuit
    return transpile(circuit, basis_gates=[*_SYMBOLIC, "cx"], optimization_level=0)


def _is_native_circuit(circuit: QuantumCircuit) -> bool:
    """Return whether Aer knows all gates as they are, and once pairs of them are merged."""
    merged = merge_controlled_pairs(circuit)
    return with_standard_gates(circuit) is circuit and _in_native_gates(merged) is merged


def _is_native(gate: Instruction) -> bool:
    known = _SYMBOLIC if symbolic_params(gate) else _native_names()
    return is_standard(gate) and gate.name in known


@cache
def _native_names() -> frozenset[str]:
    # Gates that act where a control is 0 have names of their own ("cswap_o0"), which are not here.
    return frozenset(AerSimulator(method="statevector").configuration().basis_gates)


def merge_controlled_pairs(circuit: QuantumCircuit) -> QuantumCircuit:
    """Merge controlled single-qubit gates with one control and one target into one CU.

    HQConv and FQConv are made of CRZ-CRX pairs, so a simulator that applies gate by gate has half
    the gates left, each over half of the amplitudes; a general two-qubit block would be over all.
    Gates on other qubits in between do no harm: they commute. Gates with free parameters, and those
    that Qiskit does not know, are left as they are.
    """
    runs: list[list[CircuitInstruction]] = []
    open_runs: set[int] = set()
    last: dict[object, int] = {}
    for instruction in circuit.data:
        index = len(runs)
        before = {last.get(bit, -1) for bit in instruction.qubits}
        mergeable = _mergeable(instruction)
        if mergeable and len(before) == 1 and before <= open_runs:
            candidate = next(iter(before))
            if runs[candidate][0].qubits == instruction.qubits:
                index = candidate
        if index == len(runs):
            runs.append([])
            if mergeable:
                open_runs.add(index)
        runs[index].append(instruction)
        last.update(dict.fromkeys(instruction.qubits, index))
    merged = circuit.copy_empty_like()
    for run in runs:
        if len(run) == 1:
            merged.append(run[0])
        else:
            merged.cu(*_angles(run), *run[0].qubits)
    return merged


def _mergeable(instruction: CircuitInstruction) -> bool:
    # Standard gates have a matrix, and act where their control is 1.
    return (
        len(instruction.qubits) == 2
        and instruction.is_standard_gate()
        and instruction.is_controlled_gate()
        and not instruction.is_parameterized()
    )


def _angles(run: list[CircuitInstruction]) -> tuple[float, float, float, float]:
    """Return theta, phi, lambda and gamma of the CU gate that a run is."""
    block = np.eye(2)
    for instruction in run:
        # With the control set, which is the least significant bit: rows and columns 1 and 3.
        block = instruction.matrix[1::2, 1::2] @ block
    theta, phi, lam, phase = _EULER.angles_and_phase(block)
    return theta, phi, lam, phase
