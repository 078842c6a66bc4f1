"""Pauli errors at the marked sites of a circuit, against circuits with these gates in them."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import IGate, XGate, YGate, ZGate
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid_circuits import QHybridError
from qhybrid_runtime.engine.error_site import ErrorSite
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.program import compile_program

pytestmark = pytest.mark.usefixtures("executor")


def noisy_circuit(angles: ParameterVector, codes: Sequence[int] | None = None) -> QuantumCircuit:
    """Return a circuit with error sites, or with the Pauli gates of `codes` in their place."""
    circuit = QuantumCircuit(4)
    site = iter(range(100))

    def error(qubit: int) -> None:
        if codes is None:
            circuit.append(ErrorSite(), [qubit])
        else:
            circuit.append([IGate, XGate, YGate, ZGate][codes[next(site)]](), [qubit])

    error(1)
    for qubit in range(4):
        circuit.rx(angles[qubit], qubit)
        error(qubit)
    for a, b in ((0, 1), (2, 3), (3, 0), (1, 2)):
        circuit.crx(angles[4], a, b)
        error(a)
        error(b)
        circuit.rzz(angles[5], a, b)
        error(b)
    return circuit


@pytest.mark.parametrize("samples", [1, 19])
def test_errors_are_pauli_gates(samples: int, rng) -> None:
    angles = ParameterVector("a", 6)
    observables = [SparsePauliOp("ZZII"), SparsePauliOp("XIYZ"), SparsePauliOp("IIIZ")]
    program = compile_program(noisy_circuit(angles), inputs=angles[:4])
    assert program.num_sites == 17
    codes = rng.integers(0, 4, (samples, 17)).astype(np.uint8)
    codes[0] = 0
    inputs = torch.as_tensor(rng.normal(size=(samples, 4))).requires_grad_()
    weights = torch.as_tensor(rng.normal(size=2)).requires_grad_()
    values = expectations(program, observables, inputs, weights, torch.as_tensor(codes))
    cotangent = torch.as_tensor(rng.normal(size=values.shape))
    by_inputs, by_weights = torch.autograd.grad((values * cotangent).sum(), (inputs, weights))
    summed = torch.zeros_like(weights)
    for row in range(samples):
        gates = compile_program(noisy_circuit(angles, codes[row].tolist()), inputs=angles[:4])
        expected = expectations(gates, observables, inputs[row : row + 1], weights)
        torch.testing.assert_close(values[row : row + 1], expected)
        gradients = torch.autograd.grad((expected * cotangent[row]).sum(), (inputs, weights))
        torch.testing.assert_close(by_inputs[row], gradients[0][row])
        summed += gradients[1]
        bound = noisy_circuit(angles, codes[row].tolist()).assign_parameters(
            np.concatenate([inputs[row].detach().numpy(), weights.detach().numpy()])
        )
        state = Statevector(bound)
        exact = [state.expectation_value(o).real for o in observables]
        np.testing.assert_allclose(values[row].detach().numpy(), exact, atol=1e-12)
    torch.testing.assert_close(by_weights, summed)


def test_without_errors_given_there_are_none(rng) -> None:
    angles = ParameterVector("a", 6)
    program = compile_program(noisy_circuit(angles), inputs=angles[:4])
    inputs, weights = torch.as_tensor(rng.normal(size=(3, 4))), torch.as_tensor(rng.normal(size=2))
    none = torch.zeros(3, 17, dtype=torch.uint8)
    with_zeros = expectations(program, [SparsePauliOp("ZZZZ")], inputs, weights, none)
    torch.testing.assert_close(
        expectations(program, [SparsePauliOp("ZZZZ")], inputs, weights), with_zeros
    )


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (torch.zeros(3, 16, dtype=torch.uint8), "with n_sites = 17"),
        (torch.zeros(2, 17, dtype=torch.uint8), "one row per sample"),
        (torch.zeros(3, 17), "must be uint8"),
        (torch.full((3, 17), 4, dtype=torch.uint8), "codes of 0, 1, 2 or 3"),
    ],
)
def test_errors_of_a_wrong_form_are_named(errors: torch.Tensor, message: str) -> None:
    angles = ParameterVector("a", 6)
    program = compile_program(noisy_circuit(angles), inputs=angles[:4])
    with pytest.raises(QHybridError, match=message):
        expectations(program, [SparsePauliOp("ZZZZ")], torch.zeros(3, 4), torch.zeros(2), errors)
