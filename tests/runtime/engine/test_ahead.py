"""What is compiled ahead is what circuits use."""

import torch

from qhybrid_circuits import build_ansatz
from qhybrid_runtime.compiled import CompiledCircuit
from qhybrid_runtime.engine import expectations
from qhybrid_runtime.engine.cpu.ahead import compile_kernels
from qhybrid_runtime.engine.cpu.tasks import run_gradients, run_values


def in_single_precision(kernel: object) -> list[str]:
    return [name for name in map(str, kernel.signatures) if "float32" in name]  # type: ignore[attr-defined]


def test_circuits_need_no_other_kernels_than_those_compiled_ahead() -> None:
    compile_kernels()
    before = [in_single_precision(kernel) for kernel in (run_values, run_gradients)]
    for name in ("hqconv", "basic_entangling"):
        options = {"channels": 1} if name == "hqconv" else {"qubits": 3}
        circuit = CompiledCircuit(build_ansatz(name, layers=1, **options))
        inputs = torch.rand(1, 20, circuit.variational.num_inputs, requires_grad=True)
        weights = torch.rand(1, circuit.variational.num_weights, requires_grad=True)
        expectations(circuit.program, circuit.observables, inputs, weights).sum().backward()
        assert inputs.grad is not None
    assert [len(signatures) for signatures in before] == [1, 1]
    assert [in_single_precision(kernel) for kernel in (run_values, run_gradients)] == before
