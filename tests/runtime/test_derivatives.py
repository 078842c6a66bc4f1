"""Higher derivatives of layers, and torch's transforms of them."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap

from qhybrid_circuits import NotFiniteError, RequestError, VariationalCircuit
from qhybrid_circuits.ansatz import hqconv
from qhybrid_runtime import QuantumLayer, get_backend, quantum_layer
from qhybrid_runtime.engine import compile_program
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.torch.executor import TorchExecutor
from tests.selection import thorough

#: Where values are exact, so that one way to compute them can be compared with another.
EXACT = [("statevector", None), ("aer", None), ("aer", "parameter-shift")]


def layer_on(backend: str, gradient: str | None, rng: np.random.Generator) -> QuantumLayer:
    variational = hqconv(channels=1, layers=1)
    return quantum_layer(variational, get_backend(backend), gradient, rng.random(8)).double()


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.as_tensor(rng.normal(size=shape))


def called(layer: nn.Module, weights: Tensor, inputs: Tensor) -> Tensor:
    return functional_call(layer, {"weight": weights}, (inputs,))


@pytest.mark.parametrize(
    ("backend", "gradient"),
    [
        ("statevector", None),
        ("aer", None),
        ("noise-aware:fake_manila", None),
        ("aer:fake_manila", "adjoint"),
        ("fake_manila", "adjoint"),
    ],
)
def test_second_derivatives_are_differences_of_the_first(backend: str, gradient, rng) -> None:
    layer = layer_on(backend, gradient, rng)
    at = [normal(rng, 2, 4), layer.weight.detach()]
    along, cotangent, step = [normal(rng, 2, 4), normal(rng, 8)], normal(rng, 2, 4), 1e-5

    def slopes(moved: float) -> tuple[list[Tensor], list[Tensor]]:
        layer.backend.at_round(0)  # the same errors each time, where there are any
        leaves = [x + moved * d for x, d in zip(at, along, strict=True)]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        loss = (called(layer, leaves[1], leaves[0]) * cotangent).sum()
        return leaves, list(torch.autograd.grad(loss, leaves, create_graph=True))

    leaves, first = slopes(0)
    second = torch.autograd.grad(first, leaves, along)
    for found, up, down in zip(second, slopes(step)[1], slopes(-step)[1], strict=True):
        expected = (up - down).detach() / (2 * step)
        assert expected.abs().max() > 1e-2
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("engine", ["kernels", *thorough(["torch"])])
def test_all_second_and_third_derivatives_are_differences(engine: str, rng) -> None:
    variational = encoded()
    program = compile_program(variational)
    observables = ObservableSet(variational.observables, variational.num_qubits)
    layer = quantum_layer(variational, get_backend("statevector")).double()

    def values(inputs: Tensor, weights: Tensor) -> Tensor:
        if engine == "kernels":
            return called(layer, weights, inputs)
        executor = TorchExecutor(program, observables.support)
        return executor(observables, *program.angles(inputs[None], weights[None]), None)[0]

    at = [normal(rng, 2, 5).requires_grad_(), normal(rng, 2).requires_grad_()]
    assert torch.autograd.gradgradcheck(values, at)

    def first(*at: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(values(*at).square().sum(), at, create_graph=True)

    assert torch.autograd.gradgradcheck(first, at, atol=1e-4)


def encoded() -> VariationalCircuit:
    """Amplitudes as inputs, an angle that is no affine function, controlled rotations."""
    from qiskit.circuit import ParameterVector, QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    from qhybrid_circuits.encoding import amplitude_encoding

    x, w = ParameterVector("x", 5), ParameterVector("w", 2)
    circuit = QuantumCircuit(3)
    circuit.compose(amplitude_encoding(list(x)[:4]), [0, 1], inplace=True)
    circuit.rx(x[4] * w[0], 2)
    circuit.crx(w[1].sin(), 0, 2)
    circuit.cu(0.3, w[0], x[4], 0.2, 2, 1)
    observables = (SparsePauliOp("XYZ"), SparsePauliOp(["ZII", "IXI"], [0.5, 2]))
    return VariationalCircuit("encoded", circuit, tuple(x), tuple(w), observables)


@pytest.mark.parametrize("gradient", ["parameter-shift", "spsa"])
def test_what_has_no_second_derivatives_says_so_when_they_are_asked_for(gradient: str) -> None:
    layer = quantum_layer(hqconv(channels=1, layers=1), get_backend("aer"), gradient)
    inputs = torch.zeros(1, 4, requires_grad=True)
    with pytest.raises(RequestError, match=f"'{gradient}' on backend 'aer' .* create_graph=True"):
        torch.autograd.grad(layer(inputs).sum(), inputs, create_graph=True)
    with pytest.raises(RequestError, match=f"'{gradient}' on backend 'aer' cannot"):
        grad(lambda x: grad(lambda y: layer(y).sum())(x).sum())(torch.zeros(4))


@pytest.mark.parametrize(("backend", "gradient"), EXACT)
def test_transforms_are_loops(backend: str, gradient: str | None, rng) -> None:
    layer = layer_on(backend, gradient, rng)
    inputs, weights = normal(rng, 3, 4), layer.weight.detach()
    ensemble = normal(rng, 3, 8)

    def loss(weights: Tensor, row: Tensor) -> Tensor:
        return called(layer, weights, row).square().sum()

    cases: list[tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[int | None, int | None]]]
    one = partial(called, layer)
    cases = [
        (one, one, (None, 0)),
        (one, one, (0, 0)),
        (one, one, (0, None)),
        (grad(loss), partial(by_autograd, loss, 0), (None, 0)),
        (grad(loss), partial(by_autograd, loss, 0), (0, 0)),
        (grad(loss, argnums=1), partial(by_autograd, loss, 1), (None, 0)),
        (jacrev(one, argnums=0), partial(by_jacobian, one, 0), (None, 0)),
        (jacrev(one, argnums=1), partial(by_jacobian, one, 1), (None, 0)),
    ]
    _, products = torch.func.vjp(one, weights, inputs[0])
    by_hand = [by_jacobian(one, which, weights, inputs[0]).sum(0) for which in (0, 1)]
    for found, expected in zip(products(torch.ones(4).double()), by_hand, strict=True):
        torch.testing.assert_close(found, expected)
    for transformed, plain, dims in cases:
        first = weights if dims[0] is None else ensemble
        second = inputs[0] if dims[1] is None else inputs
        found = vmap(transformed, dims)(first, second)
        firsts = [weights] * 3 if dims[0] is None else ensemble
        seconds = [inputs[0]] * 3 if dims[1] is None else inputs
        expected = torch.stack([plain(a, b) for a, b in zip(firsts, seconds, strict=True)])
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


def by_autograd(loss: Callable[..., Tensor], which: int, *at: Tensor) -> Tensor:
    leaves = [each.detach().clone().requires_grad_() for each in at]
    return torch.autograd.grad(loss(*leaves), leaves[which])[0]


def by_jacobian(values: Callable[..., Tensor], which: int, *at: Tensor) -> Tensor:
    leaves = [each.detach().clone().requires_grad_() for each in at]
    rows = [torch.autograd.grad(v, leaves[which], retain_graph=True)[0] for v in values(*leaves)]
    return torch.stack(rows)


@pytest.mark.parametrize("backend", ["statevector", "aer"])
def test_hessians_and_nested_maps(backend: str, rng) -> None:
    layer = layer_on(backend, None, rng)
    inputs, weights = normal(rng, 2, 2, 4), layer.weight.detach()

    def loss(row: Tensor) -> Tensor:
        return called(layer, weights, row).square().sum()

    found = vmap(vmap(jacrev(jacrev(loss))))(inputs)
    for index in np.ndindex(2, 2):
        expected = torch.autograd.functional.hessian(loss, inputs[index])
        torch.testing.assert_close(found[index], expected)


@pytest.mark.parametrize(
    "backend", ["fake_manila", "noise-aware:fake_manila", *thorough(["aer:fake_manila"])]
)
def test_noisy_layers_can_be_transformed(backend: str, rng) -> None:
    layer = layer_on(backend, None, rng)
    inputs, weights = normal(rng, 3, 4), layer.weight.detach()
    by_weights = vmap(grad(lambda w, x: called(layer, w, x).sum()), (None, 0))(weights, inputs)
    assert by_weights.shape == (3, 8)
    assert by_weights.isfinite().all()
    assert by_weights.any()


def test_what_is_made_inside_a_transform_serves_outside(rng) -> None:
    inputs = normal(rng, 3, 4)
    results = []
    for first in (True, False):
        layer = quantum_layer(
            hqconv(channels=1, layers=1), get_backend(), initial_weights=[0.3] * 8
        )
        layer = layer.double()
        hessians = vmap(jacrev(jacrev(lambda x, layer=layer: layer(x).sum())))
        found = hessians(inputs) if first else None
        values = layer(inputs)
        values.sum().backward()
        results += [(hessians(inputs) if found is None else found, values, layer.weight.grad)]
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other)


def test_a_map_over_numbers_that_are_not_finite_is_refused() -> None:
    layer = quantum_layer(hqconv(channels=1, layers=1), get_backend())
    with pytest.raises(NotFiniteError, match="must be finite, but is nan"):
        vmap(layer)(torch.tensor([[0.0] * 4, [float("nan")] * 4]))


@pytest.mark.parametrize("backend", ["statevector", "aer", "aer:fake_manila", "fake_manila"])
def test_a_compiled_model_breaks_once_at_its_layer(backend: str, caplog, recwarn) -> None:
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    layer = quantum_layer(hqconv(channels=1, layers=1), get_backend(backend))
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), layer, nn.Linear(4, 2))
    inputs = torch.randn(3, 4)
    compiled = torch.compile(model, backend="aot_eager")
    values = compiled(inputs)
    values.sum().backward()
    assert layer.weight.grad is not None
    assert not [each for each in caplog.records if each.levelname not in ("DEBUG", "INFO")]
    assert not recwarn.list
    (reason,) = counters["graph_break"]
    assert "_evaluate_layers" in reason
    if backend in ("statevector", "aer"):
        torch.testing.assert_close(values, model(inputs))
