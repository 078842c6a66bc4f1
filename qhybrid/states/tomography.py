"""What a circuit with ancillas does to any state, from expectation values in product states.

A quantum channel is linear, so that it is known from what becomes of 4**n states that span all
others: the products of |0>, |1>, |+> and |+i>. What becomes of each is known from the expectation
values of the 4**n Pauli strings P, rho = sum_P <P> P / d (Nielsen and Chuang 2010, section 8.4.2).
"""

from itertools import product

import numpy as np
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import Pauli, SparsePauliOp
from torch import Tensor

from qhybrid.states.rotations import Rotation, rotation_circuit
from qhybrid_circuits import VariationalCircuit

_ANGLES = ((0.0, 0.0), (np.pi, 0.0), (np.pi / 2, 0.0), (np.pi / 2, np.pi / 2))
"""Of RY and RZ: |0>, |1>, |+> and |+i>."""


class StepTomography:
    """The circuit of a reverse step with what is prepared before it and measured after it.

    Attributes:
        circuit: RY and RZ on each qubit prepare a product state, the rotations follow. Its inputs
            are the 2 n angles, two a qubit, then those of the rotations; its outputs are the Pauli
            strings on the qubits but the identity, each beside each string of Z on the ancillas
            where `outcomes` are told apart.
        angles: The inputs that prepare each of the 4**n states, (4**n, 2 n), float64.
    """

    def __init__(
        self, num_qubits: int, ancillas: int, rotations: list[Rotation], *, outcomes: bool = False
    ) -> None:
        """Build the circuit, and what turns its values into channels."""
        qubits, seen = range(num_qubits), ancillas if outcomes else 0
        prepared = ParameterVector("x", 2 * num_qubits)
        circuit = QuantumCircuit(num_qubits + ancillas, name="reverse_step")
        for qubit in qubits:
            circuit.ry(prepared[2 * qubit], qubit)
            circuit.rz(prepared[2 * qubit + 1], qubit)
        step = rotation_circuit(num_qubits + ancillas, rotations)
        circuit.compose(step, inplace=True)
        strings = ["".join(each) for each in product("IXYZ", repeat=num_qubits)]
        signs = ["".join(each) for each in product("IZ", repeat=seen)]
        idle = "I" * (ancillas - seen)
        labels = [idle + z + pauli for z in signs for pauli in strings]
        inputs = (*prepared, *step.parameters)
        observables = tuple(SparsePauliOp(label) for label in labels[1:])
        self.circuit = VariationalCircuit("reverse_step", circuit, inputs, (), observables)
        # The most significant qubit first, as in a Kronecker product.
        chosen = list(product(_ANGLES, repeat=num_qubits))
        rows = [[angle for pair in each[::-1] for angle in pair] for each in chosen]
        self.angles = torch.tensor(rows, dtype=torch.float64)
        spanning = [_product_state(each) for each in chosen]
        paulis = [Pauli(string).to_matrix().ravel() for string in strings]
        self._inverse = torch.from_numpy(np.linalg.inv(np.stack(spanning)))
        self._paulis = torch.from_numpy(np.stack(paulis)) / (1 << num_qubits)
        self._parities = torch.tensor(
            [[_parity(outcome, sign) for sign in signs] for outcome in range(1 << seen)]
        ).to(torch.complex128) / len(signs)

    def channels(self, values: Tensor) -> Tensor:
        """Return what a step does to density matrices, for each outcome that is told apart.

        Args:
            values: Of the circuit's outputs, (T, 4**n, n_outputs).

        Returns:
            Matrices E (T, M, d * d, d * d): rho, flattened, becomes rho @ E, the part of it that
            belongs to outcome m of the ancillas, ancilla k being bit k; its trace is the
            probability of m.
        """
        identity = torch.ones_like(values[..., :1])
        known = torch.cat([identity, values], dim=-1)
        known = known.reshape(*known.shape[:-1], -1, len(self._paulis))
        device = values.device
        parities, paulis = self._parities.to(device), self._paulis.to(device)
        parts = torch.einsum("mz,tszp,pk->tmsk", parities, known.to(paulis.dtype), paulis)
        return self._inverse.to(device) @ parts


def _product_state(angles: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Return |x><x|, flattened, of RZ(b) RY(a)|0> on each qubit, the most significant first."""
    state = np.ones(1, dtype=complex)
    for a, b in angles:
        qubit = np.array([np.cos(a / 2) * np.exp(-0.5j * b), np.sin(a / 2) * np.exp(0.5j * b)])
        state = np.kron(state, qubit)
    return np.outer(state, state.conj()).ravel()


def _parity(outcome: int, sign: str) -> int:
    """Return the value of a string of Z on ancillas that are measured in an outcome."""
    ones = sum(int(z == "Z") and outcome >> k & 1 for k, z in enumerate(reversed(sign)))
    return 1 - 2 * (ones % 2)
