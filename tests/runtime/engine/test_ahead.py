"""What is compiled ahead is what circuits use."""

from typing import Any

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits import VariationalCircuit, build_ansatz
from qhybrid_circuits.encoding import encode
from qhybrid_runtime.compiled import CompiledCircuit
from qhybrid_runtime.engine import expectations
from qhybrid_runtime.engine.cpu.ahead import compile_kernels
from qhybrid_runtime.engine.cpu.tasks import run_gradients, run_values


def amplitudes(qubits: int) -> VariationalCircuit:
    """A circuit that begins in a state of its inputs."""
    inputs, weights = ParameterVector("x", 2**qubits), ParameterVector("w", 1)
    circuit = QuantumCircuit(qubits)
    circuit.compose(encode("amplitude", inputs, num_qubits=qubits), inplace=True)
    circuit.rx(weights[0], 0)
    observables = (SparsePauliOp("Z" * qubits), SparsePauliOp("X" * qubits))
    return VariationalCircuit("amplitudes", circuit, tuple(inputs), tuple(weights), observables)


def constants() -> VariationalCircuit:
    """A circuit without weights."""
    circuit, inputs = QuantumCircuit(2), ParameterVector("x", 1)
    circuit.rx(inputs[0], 0)
    circuit.cx(0, 1)
    return VariationalCircuit("constants", circuit, tuple(inputs), (), (SparsePauliOp("ZZ"),))


def signatures() -> list[list[str]]:
    """Return what the kernels have been compiled for in single precision."""
    kernels: tuple[Any, ...] = (run_values, run_gradients)
    return [
        [each for each in map(str, kernel.signatures) if "float32" in each] for kernel in kernels
    ]


@pytest.mark.parametrize(
    "variational",
    [
        build_ansatz("hqconv", channels=1, layers=1),
        build_ansatz("basic_entangling", qubits=3, layers=1),
        amplitudes(1),
        amplitudes(2),
        constants(),
    ],
    ids=["hqconv", "entangling", "2 amplitudes", "4 amplitudes", "no weights"],
)
def test_circuits_need_no_other_kernels_than_those_compiled_ahead(
    variational: VariationalCircuit,
) -> None:
    """Each other type of an argument would be half a minute of compiling."""
    compile_kernels()
    circuit = CompiledCircuit(variational)
    inputs = torch.rand(1, 20, variational.num_inputs, requires_grad=True)
    weights = torch.rand(1, variational.num_weights, requires_grad=True)
    expectations(circuit.program, circuit.observables, inputs, weights).sum().backward()
    assert inputs.grad is not None
    assert [len(of_kernel) for of_kernel in signatures()] == [1, 1]
