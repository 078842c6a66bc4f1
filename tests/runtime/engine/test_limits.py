"""What the engine does with bad numbers, little memory, and several processes or threads."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp
from torch.utils.data import DataLoader, Dataset

import qhybrid_runtime.checks as checks
from qhybrid_circuits import NotFiniteError, RequestError
from qhybrid_circuits.ansatz import hqconv
from qhybrid_runtime import get_backend, quantum_layer
from qhybrid_runtime.backends.aer import AerStatevectorEstimator
from qhybrid_runtime.backends.statevector import StatevectorEngineEstimator
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.program import compile_program
from tests.threads import torch_threads


def values_and_gradient(seed: int) -> list[float]:
    variational = hqconv(channels=1, layers=2)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(40, 4, generator=generator)
    weights = torch.rand(16, generator=generator).requires_grad_()
    values = expectations(compile_program(variational), variational.observables, inputs, weights)
    values.square().sum().backward()
    assert weights.grad is not None
    return [*values.detach().flatten().tolist(), *weights.grad.tolist()]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_compute_the_same(method: str) -> None:
    expected = values_and_gradient(1)  # the parent has threads of its own by now
    # A fork of a process that used torch's threads must do without, as DataLoader's workers do.
    context = multiprocessing.get_context(method)
    with context.Pool(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        actual = pool.apply_async(values_and_gradient, (1,)).get(timeout=120)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_threads_may_call_at_once() -> None:
    expected = [values_and_gradient(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(values_and_gradient, range(8)))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_the_sum_over_samples_does_not_depend_on_threads() -> None:
    results = []
    for count in (1, 2, 3):
        with torch_threads(count):
            results.append(values_and_gradient(2))
    assert results[0] == results[1] == results[2]


class Encoded(Dataset):
    """Samples that a circuit computes in the loader's worker."""

    def __init__(self) -> None:
        self.layer = quantum_layer(
            hqconv(channels=1, layers=1), get_backend("statevector"), initial_weights=[0.1] * 8
        )

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        with torch.no_grad():
            return self.layer(torch.full((4,), float(index)))


def test_data_loader_workers_compute_the_same() -> None:
    dataset = Encoded()
    expected = torch.stack([dataset[index] for index in range(6)])
    (actual,) = DataLoader(dataset, batch_size=6, num_workers=1)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(
    ("inputs", "weights", "message"),
    [
        (
            [[0.0, float("nan")]],
            [0.5, 0.5],
            r"`inputs` must be finite, but is nan at index \(0, 1\)",
        ),
        (
            [[0.0, 1.0]],
            [float("inf"), 0.5],
            r"`weights` must be finite, but is inf at index \(0,\)",
        ),
    ],
)
def test_numbers_that_are_not_finite_are_named(inputs, weights, message: str) -> None:
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.rx(x[qubit], qubit)
        circuit.ry(w[qubit], qubit)
    with pytest.raises(NotFiniteError, match=message):
        expectations(
            compile_program(circuit, x, w),
            [SparsePauliOp("ZZ")],
            torch.tensor(inputs),
            torch.tensor(weights),
        )


@pytest.mark.parametrize("backend", ["statevector", "aer"])
def test_layers_name_numbers_that_are_not_finite(backend: str) -> None:
    layer = quantum_layer(hqconv(channels=1, layers=1), get_backend(backend))
    with pytest.raises(NotFiniteError, match=r"`inputs` must be finite, but is nan at index"):
        layer(torch.full((2, 4), float("nan")))
    with torch.no_grad():
        layer.weight[3] = float("inf")
    with pytest.raises(NotFiniteError, match=r"`weights` must be finite, but is inf at index"):
        layer(torch.zeros(2, 4))


@pytest.mark.parametrize("estimator", [AerStatevectorEstimator, StatevectorEngineEstimator])
def test_estimators_name_numbers_that_are_not_finite(estimator) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("x"), 0)
    job = estimator().run([(circuit, SparsePauliOp("Z"), [[0.1], [float("nan")]])])
    with pytest.raises(NotFiniteError, match=r"`parameter_values` must be finite, but is nan"):
        job.result()


@pytest.mark.parametrize("qubits", [34, 64, 130])
def test_states_that_do_not_fit_are_refused_before_they_are_made(qubits: int) -> None:
    angles = ParameterVector("a", qubits)
    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.ry(angles[qubit], qubit)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    observable = SparsePauliOp.from_sparse_list([("Z", [qubits - 1], 1.0)], qubits)
    with pytest.raises(RequestError, match=rf"Simulating {qubits} qubits needs \d+\.\d GiB, but"):
        expectations(compile_program(circuit), [observable], torch.zeros(1, 0), torch.zeros(qubits))


def test_the_limit_is_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    checks.check_memory("a state", 1000)
    monkeypatch.setattr(checks, "available_bytes", lambda: 1 << 30)
    with pytest.raises(RequestError, match=r"a state needs 2\.0 GiB, but 1\.0 GiB"):
        checks.check_memory("a state", 2 << 30)


def test_threads_share_a_large_state(monkeypatch: pytest.MonkeyPatch, rng) -> None:
    from qhybrid_runtime.engine.cpu import executor

    variational = hqconv(channels=3, layers=2)
    observables = [*variational.observables, SparsePauliOp("XYZ" * 4, 0.5)]
    inputs = torch.as_tensor(rng.normal(size=(20, 12)))
    weights = torch.as_tensor(rng.random(variational.num_weights))

    def evaluate() -> tuple[torch.Tensor, ...]:
        program = compile_program(variational)
        leaves = [inputs.clone().requires_grad_(), weights.clone().requires_grad_()]
        values = expectations(program, observables, *leaves)
        return (values, *torch.autograd.grad(values.sin().sum(), leaves))

    apart = evaluate()
    monkeypatch.setattr(executor, "WIDE_AMPLITUDES", 1)
    calls = []
    wide = executor.wide_gradients
    monkeypatch.setattr(executor, "wide_gradients", lambda *a: calls.append(1) or wide(*a))
    with torch_threads(3):
        for kept in (executor.KEPT_BYTES, 0):
            monkeypatch.setattr(executor, "KEPT_BYTES", kept)
            for ours, expected in zip(evaluate(), apart, strict=True):
                torch.testing.assert_close(ours, expected, atol=1e-12, rtol=1e-12)
    assert len(calls) == 2
