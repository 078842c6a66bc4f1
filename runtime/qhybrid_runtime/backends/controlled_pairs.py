import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, ControlledGate, ParameterExpression
from qiskit.circuit.library import CUGate
from qiskit.synthesis import OneQubitEulerDecomposer

_EULER = OneQubitEulerDecomposer("U")


def merge_controlled_pairs(circuit: QuantumCircuit) -> QuantumCircuit:
    """Merge controlled single-qubit gates with one control and one target into one CU.

    HQConv and FQConv are made of CRZ-CRX pairs, so a simulator that applies gate by gate has half
    the gates left, each over half of the amplitudes; a general two-qubit block would be over all.
    Gates on other qubits in between do no harm: they commute.

    Args:
        circuit: Gates with free parameters are left as they are.
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
        merged.append(run[0] if len(run) == 1 else _joined(run))
    return merged


def _mergeable(instruction: CircuitInstruction) -> bool:
    gate = instruction.operation
    return (
        isinstance(gate, ControlledGate)
        and gate.num_ctrl_qubits == 1
        and gate.num_qubits == 2
        and gate.ctrl_state == 1
        and not any(isinstance(p, ParameterExpression) and p.parameters for p in gate.params)
    )


def _joined(run: list[CircuitInstruction]) -> CircuitInstruction:
    block = np.eye(2)
    for instruction in run:
        # With the control set, which is the least significant bit: rows and columns 1 and 3.
        block = instruction.operation.to_matrix()[1::2, 1::2] @ block
    theta, phi, lam, phase = _EULER.angles_and_phase(block)
    return CircuitInstruction(CUGate(theta, phi, lam, phase), run[0].qubits)
