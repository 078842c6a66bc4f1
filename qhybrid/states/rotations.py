"""The circuit of a reverse step as a list of Pauli rotations, for Qiskit and for torch."""

import numpy as np
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

_GATES = {"X": "rx", "Y": "ry", "Z": "rz", "XX": "rxx", "YY": "ryy", "ZZ": "rzz"}

Rotation = tuple[str, tuple[int, ...]]
"""The Pauli operator, e.g. "ZZ", and its qubits."""


def layered_rotations(num_qubits: int, layers: int) -> list[Rotation]:
    """Return layers of RX, RZ on each qubit and RXX, RZZ on each pair, with RX, RZ at the end.

    At zero weights it is the identity, the reverse of a step without noise.
    """
    single: list[Rotation] = [(p, (qubit,)) for p in "XZ" for qubit in range(num_qubits)]
    pairs: list[Rotation] = [
        (pauli, (low, high))
        for pauli in ("XX", "ZZ")
        for low in range(num_qubits)
        for high in range(low + 1, num_qubits)
    ]
    return (single + pairs) * layers + single


def rotation_circuit(num_qubits: int, rotations: list[Rotation]) -> QuantumCircuit:
    """Return the circuit with one parameter a rotation, in radians, named w."""
    circuit = QuantumCircuit(num_qubits, name="reverse_step")
    weights = ParameterVector("w", len(rotations))
    for (pauli, qubits), weight in zip(rotations, weights, strict=True):
        getattr(circuit, _GATES[pauli])(weight, *qubits)
    return circuit


class RotationTable:
    """The Pauli operators P of rotations exp(-i w P / 2), each a permutation with phases."""

    def __init__(self, num_qubits: int, rotations: list[Rotation]) -> None:
        """Look up what each Pauli operator does to the basis states."""
        terms = ([(*rotation, 1)] for rotation in rotations)
        operators = (SparsePauliOp.from_sparse_list(term, num_qubits) for term in terms)
        matrices = np.stack([operator.to_matrix() for operator in operators])
        sources = np.abs(matrices).argmax(2)
        phases = np.take_along_axis(matrices, sources[:, :, None], 2)[:, :, 0]
        self.dimension = 1 << num_qubits
        self.sources, self.phases = torch.from_numpy(sources), torch.from_numpy(phases)

    def unitaries(self, weights: Tensor) -> Tensor:
        """Return the circuit's unitaries (..., D, D) at weights (..., n_rotations)."""
        cos, sin = (weights / 2).cos(), (weights / 2).sin()
        unitary = torch.eye(self.dimension, dtype=torch.complex128, device=weights.device)
        unitary = unitary.expand(*weights.shape[:-1], -1, -1)
        sources, phases = self.sources.to(weights.device), self.phases.to(weights.device)
        for index in range(len(sources)):
            turned = phases[index][:, None] * unitary[..., sources[index], :]
            c, s = cos[..., index, None, None], sin[..., index, None, None]
            unitary = c * unitary - 1j * s * turned
        return unitary
