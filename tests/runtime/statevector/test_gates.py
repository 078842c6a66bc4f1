import numpy as np
import pytest
import torch
from qiskit.circuit import Gate
from qiskit.circuit.library import (
    CPhaseGate,
    CRXGate,
    CUGate,
    MCPhaseGate,
    RXGate,
    RYGate,
    RZZGate,
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import Operator

from qhybrid_runtime.statevector.gates import FORMULAS, MATRICES, controlled

STANDARD = get_standard_gate_name_mapping()


@pytest.mark.parametrize("name", sorted(MATRICES))
def test_formula_is_qiskits_matrix(name: str, rng) -> None:
    for _ in range(5):
        angles = rng.uniform(-7, 7, len(STANDARD[name].params))
        expected = STANDARD[name].base_class(*angles).to_matrix()
        actual = MATRICES[name](torch.as_tensor(angles))
        np.testing.assert_allclose(actual.numpy(), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("gate", "base"),
    [
        (CRXGate(0.3), "rx"),
        (CRXGate(0.3, ctrl_state=0), "rx"),
        (CPhaseGate(1.1), "p"),
        (CUGate(0.1, 0.2, 0.3, 0.4), "cu"),
        (CUGate(0.1, 0.2, 0.3, 0.4, ctrl_state=0), "cu"),
        (RYGate(0.7).control(2, ctrl_state=1, annotated=False), "ry"),
        (RXGate(0.7).control(2, ctrl_state=2, annotated=False), "rx"),
        (RZZGate(0.9).control(1, annotated=False), "rzz"),
        (MCPhaseGate(0.5, 2), "p"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_controls_are_the_least_significant_bits(gate: Gate, base: str) -> None:
    matrix = FORMULAS[base](torch.tensor(gate.params, dtype=torch.float64))
    actual = controlled(matrix, gate.num_ctrl_qubits, gate.ctrl_state)
    np.testing.assert_allclose(actual.numpy(), Operator(gate).data, atol=1e-14)


def test_every_parameterized_standard_gate_has_a_formula() -> None:
    for name, gate in STANDARD.items():
        if isinstance(gate, Gate) and gate.params and name != "delay":
            base = gate.base_gate.name if hasattr(gate, "base_gate") else name
            assert base in MATRICES, name


def test_matrices_batch() -> None:
    angles = torch.rand(2, 5, 3, dtype=torch.float64)
    matrices = MATRICES["u"](angles)
    assert matrices.shape == (2, 5, 2, 2)
    torch.testing.assert_close(matrices[1, 3], MATRICES["u"](angles[1, 3]))
