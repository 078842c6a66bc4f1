"""The path of a batch: from the layer to the kernel, on the backend that the layer has."""

import inspect
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import qhybrid_runtime
from qhybrid_circuits.ansatz import basic_entangling, hqconv
from qhybrid_runtime import Backend, CircuitBank, get_backend, quantum_layer

PACKAGE = Path(qhybrid_runtime.__file__).parent
INPUTS = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))


def layer_on(backend: Backend) -> Any:
    generator = torch.Generator().manual_seed(1)
    return quantum_layer(basic_entangling(), backend, generator=generator)


def test_a_batch_passes_few_files_from_the_layer_to_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = import_module("qhybrid_runtime.engine.cpu.executor")
    kernel, stacks = executor.run_values, []

    def watched(*arguments: Any) -> None:
        stacks.append([Path(frame.filename) for frame in traceback.extract_stack()])
        kernel(*arguments)

    monkeypatch.setattr(executor, "run_values", watched)
    layer = quantum_layer(hqconv(), get_backend())
    with torch.no_grad():
        layer(torch.rand(16, 12))
    # A thread of its own has no callers; the calling thread takes a part too.
    stack = max(stacks, key=len)
    passed = [path for path in stack if PACKAGE in path.parents]
    passed.append(Path(inspect.getsourcefile(kernel.py_func) or ""))
    files = list(dict.fromkeys(str(path.relative_to(PACKAGE)) for path in passed))
    assert files == [
        "layer.py",
        "round.py",
        "backends/statevector.py",
        "engine/expectations.py",
        "engine/cpu/executor.py",
        "engine/cpu/tasks.py",
    ]


def test_a_layer_runs_where_its_backend_is_set() -> None:
    """By torch and by numpy alike; the name alone used to change."""
    exact, noisy = get_backend("statevector"), get_backend("aer:fake_fez", seed=1)
    layer = layer_on(exact)
    ideal = layer(INPUTS).detach()
    layer.backend = noisy
    weights = layer.weight.detach().double().numpy()
    by_torch = layer(INPUTS).detach()
    by_numpy = layer.neural_network.forward(INPUTS.double().numpy(), weights)
    for values in (by_torch.numpy(), by_numpy):
        difference = np.abs(values - ideal.numpy()).max()
        assert 1e-3 < difference < 0.5
    layer.backend = exact
    assert torch.equal(layer(INPUTS).detach(), ideal)
    back = layer.neural_network.forward(INPUTS.double().numpy(), weights)
    np.testing.assert_allclose(back, ideal.numpy(), atol=1e-5)


def test_a_bank_runs_where_its_layers_are() -> None:
    bank = CircuitBank([basic_entangling()] * 2, get_backend())
    ideal = [values.detach() for values in bank([INPUTS, INPUTS])]
    for layer in bank.layers:
        layer.backend = get_backend("aer:depolarizing=0.1", seed=1)
    noisy = [values.detach() for values in bank([INPUTS, INPUTS])]
    assert all((a - b).abs().max() > 1e-2 for a, b in zip(ideal, noisy, strict=True))


def test_a_noise_aware_layer_is_noisy_by_numpy_too() -> None:
    """The mean over many draws is the same by both paths, and is not the ideal value."""
    ideal = layer_on(get_backend())(INPUTS).detach().numpy()
    layer = layer_on(get_backend("noise-aware:fake_fez", seed=3))
    weights = layer.weight.detach().double().numpy()
    repeated = INPUTS.repeat(400, 1)
    by_torch = layer(repeated).detach().view(400, *ideal.shape).mean(0).numpy()
    values = layer.neural_network.forward(repeated.double().numpy(), weights)
    by_numpy = values.reshape(400, *ideal.shape)
    assert by_numpy.std(0).max() > 1e-2
    np.testing.assert_allclose(by_numpy.mean(0), by_torch, atol=0.1)
    assert np.abs(by_numpy.mean(0) - ideal).max() > 5e-3


def test_a_noise_aware_jacobian_is_that_of_noisy_values() -> None:
    layer = layer_on(get_backend("noise-aware:fake_fez", seed=3))
    exact = layer_on(get_backend())
    weights = layer.weight.detach().double().numpy()
    rows = INPUTS.repeat(200, 1).double().numpy()
    _, noisy = layer.neural_network.backward(rows, weights)
    _, ideal = exact.neural_network.backward(INPUTS.double().numpy(), weights)
    per_draw = np.asarray(noisy).reshape(200, *np.asarray(ideal).shape)
    assert per_draw.std(0).max() > 1e-2
    assert np.abs(per_draw.mean(0) - np.asarray(ideal)).max() < 0.25
