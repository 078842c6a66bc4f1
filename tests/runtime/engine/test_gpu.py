"""What a GPU would run, on the CPU: kernels by Triton's interpreter, recordings by a stand-in."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import CRXGate
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import qhybrid_runtime
from qhybrid_circuits.ansatz import hqconv
from qhybrid_runtime.engine import ErrorSite, ObservableSet, Program, compile_program
from qhybrid_runtime.engine.expectations import executor_for
from qhybrid_runtime.engine.torch import gpu, recordings, sweep
from qhybrid_runtime.engine.torch.executor import TorchExecutor
from qhybrid_runtime.engine.torch.gpu import GpuExecutor
from qhybrid_runtime.engine.torch.recordings import Recordings
from qhybrid_runtime.engine.torch.sweep import KernelSweep

pytest.importorskip("triton")
interpreted = pytest.mark.skipif(
    torch.cuda.is_available(), reason="Triton's interpreter stands in for a GPU, which is here"
)
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU; none is here")


def all_kinds() -> QuantumCircuit:
    """Every kind of block: shared, a sample's own, constant, an error; open and double controls."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 4)
    circuit = QuantumCircuit(3)
    circuit.ry(x[0], 0)
    circuit.h(1)
    circuit.crz(w[0], 0, 2)
    circuit.crx(w[1], 0, 2)
    circuit.append(CRXGate(w[2], ctrl_state=0), [2, 1])
    circuit.append(ErrorSite(), [1])
    circuit.u(x[1], w[3], 0.3, 2)
    circuit.ccx(2, 0, 1)
    return circuit


def a_point(program: Program, rng: np.random.Generator, dtype: torch.dtype) -> list[Tensor]:
    """Inputs and weights of two circuits with two samples each."""
    shapes = ((2, 2, program.num_inputs), (2, program.num_weights))
    return [torch.tensor(rng.normal(size=s), dtype=dtype, requires_grad=True) for s in shapes]


def values_and_gradients(
    executor: Any, program: Program, observables: ObservableSet, at: list[Tensor], codes: Any
) -> tuple[Tensor, ...]:
    values = executor(observables, *program.angles(*at), codes)
    count, like = values.numel(), {"dtype": values.dtype, "device": values.device}
    cotangent = torch.linspace(-1, 2, count, **like).view_as(values)
    return (values.detach(), *torch.autograd.grad(values, at, cotangent))


def compiled(circuit: QuantumCircuit) -> tuple[Program, ObservableSet]:
    inputs = [p for p in circuit.parameters if p.name.startswith("x")]
    labels = ["ZIZ", "XYI", "IIX"] if circuit.num_qubits == 3 else ["Z" * circuit.num_qubits]
    observables = ObservableSet([SparsePauliOp(label) for label in labels], circuit.num_qubits)
    return compile_program(circuit, inputs), observables


@interpreted
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_kernels_agree_with_the_cpu_engine(rng, dtype: torch.dtype, close: float) -> None:
    program, observables = compiled(all_kinds())
    at, codes = a_point(program, rng, dtype), torch.tensor([[[0, 2], [3, 1]]], dtype=torch.uint8)
    chosen = executor_for(program, "triton", observables.support)
    assert isinstance(chosen, GpuExecutor)
    assert isinstance(chosen.sweep, KernelSweep)
    found = values_and_gradients(chosen, program, observables, at, codes)
    cpu = executor_for(program, "cpu", observables.support)
    expected = values_and_gradients(cpu, program, observables, at, codes)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=close, rtol=0)


def with_swap() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.ry(Parameter("x"), 0)
    circuit.swap(0, 1)
    circuit.rxx(Parameter("w"), 0, 2)
    return circuit


def test_what_kernels_cannot_run_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    program, observables = compiled(with_swap())
    assert isinstance(GpuExecutor(program, observables.support).sweep, TorchExecutor)
    many = QuantumCircuit(13)
    many.h(range(13))
    assert sweep.make_kernel_sweep(compile_program(many), range(13)) is None
    monkeypatch.setattr(sweep, "find_spec", lambda name: None)
    program, observables = compiled(all_kinds())
    assert sweep.make_kernel_sweep(program, observables.support) is None


def test_kernels_that_fail_are_left_out_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(sweep, "import_module", broken)
    monkeypatch.setattr(sweep, "_kernels_run", sweep._kernels_run.__wrapped__)
    program, observables = compiled(all_kinds())
    with pytest.warns(UserWarning, match=r"do not run here \(Failed to find C compiler\)"):
        assert sweep.make_kernel_sweep(program, observables.support) is None


class StandIn:
    """What a CUDA graph does, by calling the function again on the same tensors."""

    def __init__(self) -> None:
        self.captured = self.replayed = 0

    def __call__(
        self, run: Callable[[], Sequence[Tensor]]
    ) -> tuple[Callable[[], None], Sequence[Tensor]]:
        self.captured += 1
        results = run()

        def replay() -> None:
            self.replayed += 1
            for own, now in zip(results, run(), strict=True):
                own.copy_(now)

        return replay, results


@pytest.fixture
def recorded() -> tuple[GpuExecutor, StandIn, Program, ObservableSet]:
    program, observables = compiled(with_swap())
    stand_in = StandIn()
    kept = Recordings(stand_in, usable=lambda tensors: True)
    return GpuExecutor(program, observables.support, kept), stand_in, program, observables


def test_a_shape_is_recorded_at_its_third_call_and_then_replayed(rng, recorded) -> None:
    executor, stand_in, program, observables = recorded
    cpu = executor_for(program, "cpu", observables.support)
    for call in range(1, 6):
        at = a_point(program, rng, torch.float64)
        found = values_and_gradients(executor, program, observables, at, None)
        expected = values_and_gradients(cpu, program, observables, at, None)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
        assert stand_in.captured == 2 * (call > 2)
        assert stand_in.replayed == 2 * max(0, call - 2)
    half = [each.detach()[:1].float().requires_grad_() for each in at]
    values_and_gradients(executor, program, observables, half, None)
    assert stand_in.captured == 2  # Another shape and dtype: not yet.


def test_calls_of_one_recording_may_overlap(rng, recorded) -> None:
    executor, stand_in, program, observables = recorded
    with torch.inference_mode():  # A recording that sampling made is training's, too.
        still = a_point(program, rng, torch.float64)
        for _ in range(3):
            executor(observables, *program.angles(*still), None)
    points = [a_point(program, rng, torch.float64) for _ in range(4)]
    values = [executor(observables, *program.angles(*at), None) for at in points]
    kept = [each.detach().clone() for each in values]
    cpu = executor_for(program, "cpu", observables.support)
    for at, value, first in reversed(list(zip(points, values, kept, strict=True))):
        expected = cpu(observables, *program.angles(*at), None)
        torch.testing.assert_close(first, expected.detach())
        mine, theirs = (torch.autograd.grad(v.square().sum(), at) for v in (value, expected))
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other)
    assert stand_in.replayed >= 5 + 4


def test_second_derivatives_pass_a_recording_by(rng, recorded) -> None:
    executor, _, program, observables = recorded

    def values(*at: Tensor) -> Tensor:
        return executor(observables, *program.angles(*at), None)

    at = [each.detach()[:1, ...].requires_grad_() for each in a_point(program, rng, torch.float64)]
    assert torch.autograd.gradgradcheck(values, at)


def test_matrices_are_multiplied_in_full_precision_whatever_the_network_does() -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with gpu.full_precision():
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


class Transfers(TorchDispatchMode):
    """Counts operations that take numbers from the host's memory to another device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        there = any(each.device.type == "meta" for each in tree_leaves(result))
        # A number on its own becomes an argument of the launch.
        if there and any(each.device.type == "cpu" and each.dim() for each in given):
            self.found.append(str(func))
        return result


@pytest.mark.parametrize("kernels", [False, True])
def test_a_call_copies_nothing_from_the_host_and_waits_for_nothing(
    kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On torch device "meta" nothing has a value: whatever asks for one raises.
    monkeypatch.setattr(KernelSweep, "launch", lambda *arguments: None)
    program, observables = compiled(all_kinds())
    executor = GpuExecutor(program, observables.support)
    if not kernels:
        executor.sweep = executor.differentiable
    at = [each.to("meta") for each in a_point(program, np.random.default_rng(0), torch.float32)]
    codes = torch.zeros(1, 2, 2, dtype=torch.uint8, device="meta")
    values_and_gradients(executor, program, observables, at, codes)
    with Transfers() as transfers:
        values_and_gradients(executor, program, observables, at, codes)
    assert transfers.found == []


COMPILE = """
import importlib.util, sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
spec = importlib.util.spec_from_file_location("kernels", sys.argv[1])
kernels = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernels)
for kernel in (kernels.evolve, kernels.unevolve):
    kinds = {"gates": "*i32", "AMPLITUDES": "constexpr", **dict.fromkeys(kernels.SIZES, "i32")}
    signature = {name: kinds.get(name, "*fp32") for name in kernel.arg_names}
    source = ASTSource(kernel, signature, {"AMPLITUDES": 4096}, {})
    options = {"num_warps": 16, "num_stages": 1}
    compiled = compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert compiled.asm["cubin"]
    print(compiled.metadata.shared)
"""


def test_kernels_compile_for_an_h100() -> None:
    # Triton brings all that it takes to make machine code, and needs no GPU for it.
    path = Path(qhybrid_runtime.__file__).parent / "engine" / "torch" / "kernels.py"
    command = [sys.executable, "-c", COMPILE, str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={"TRITON_INTERPRET": "0"}
    )
    assert done.returncode == 0, done.stderr
    # Bytes of shared memory of a sample with 2**12 amplitudes; a multiprocessor has 227 KiB.
    assert all(int(line) <= 1 << 15 for line in done.stdout.split())


@on_gpu
def test_a_gpu_is_not_waited_for_in_a_call(rng) -> None:
    program = compile_program(hqconv())
    observables = ObservableSet(hqconv().observables, program.num_qubits)
    at = [each.detach().cuda().requires_grad_() for each in a_point(program, rng, torch.float32)]
    executor = executor_for(program, "cuda", observables.support)
    for _ in range(recordings.CALLS_BEFORE + 1):
        values_and_gradients(executor, program, observables, at, None)
    torch.cuda.set_sync_debug_mode("error")
    try:
        values_and_gradients(executor, program, observables, at, None)
    finally:
        torch.cuda.set_sync_debug_mode("default")
