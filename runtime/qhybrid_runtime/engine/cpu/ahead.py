"""The kernels that circuits need, before there are any circuits."""

import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qhybrid_runtime.engine.cpu.executor import CpuExecutor, SweepGradient
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import compile_program


def compile_kernels() -> None:
    """Compile what computes values and gradients in single precision, or load it.

    Gradients come first: where another simulator computes the values, they are all that a step of a
    training needs.
    """
    angle, weight = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    circuit.rx(weight, 0)
    executor = CpuExecutor(compile_program(circuit, inputs=[angle], weights=[weight]), support=[0])
    observables = ObservableSet([SparsePauliOp("Z")], 1)
    codes = torch.zeros(executor.num_sites, 1, 1, dtype=torch.uint8)
    angles = torch.zeros(1, 1), torch.zeros(1, 1, 1)
    SweepGradient.apply(executor, observables, None, codes, *angles, torch.ones(1, 1, 1))
    executor(observables, *angles, None)
