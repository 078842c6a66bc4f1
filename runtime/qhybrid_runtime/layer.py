import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from qiskit_machine_learning.connectors import TorchConnector
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from qhybrid_circuits import ShapeError, VariationalCircuit
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.gradients.by_name import gradient_method
from qhybrid_runtime.gradients.method import GradientMethod, RandomStream
from qhybrid_runtime.qnn import BroadcastEstimatorQNN
from qhybrid_runtime.round import evaluate_round


class QuantumLayer(TorchConnector):
    """A TorchConnector that computes vector-Jacobian products, on the tensors' device and dtype.

    The stock connector's backward pass builds the whole Jacobian and goes through numpy; and it
    registers one tensor under two names, which safetensors refuses. Here `state_dict` has the one
    key `weight`; a stock state_dict, with `_weights` beside it, loads too.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import get_backend, quantum_layer
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> layer = quantum_layer(circuit, get_backend("statevector"))
        >>> layer(torch.zeros(5, 4)).sum().backward()
        >>> layer.weight.grad.shape
        torch.Size([8])
    """

    def __init__(self, network: BroadcastEstimatorQNN, initial_weights: Tensor) -> None:
        """Wrap a network with weights (n_weights,); `quantum_layer` makes both.

        Args:
            network: The circuit with its backend.
            initial_weights: Shape (n_weights,).
        """
        # The stock constructor would register the weights twice; only nn.Module's is called.
        nn.Module.__init__(self)
        self._neural_network: BroadcastEstimatorQNN = network
        self._sparse = False
        self.register_parameter("weight", nn.Parameter(initial_weights))
        self.register_load_state_dict_pre_hook(_accept_stock_names)  # type: ignore[no-untyped-call]

    @property
    def weight(self) -> nn.Parameter:
        """The circuit's weights, shape (n_weights,)."""
        return cast(nn.Parameter, nn.Module.__getattr__(self, "weight"))

    @property
    def _weights(self) -> nn.Parameter:  # type: ignore[override]
        # The stock class's methods know the weights by this name.
        return self.weight

    @property
    def neural_network(self) -> BroadcastEstimatorQNN:
        """The circuit on its backend, as qiskit-machine-learning sees it."""
        return self._neural_network

    @property
    def variational(self) -> VariationalCircuit:
        """The circuit."""
        return self._neural_network.variational

    @property
    def backend(self) -> Backend:
        """The backend of the circuit, for torch and numpy calls alike."""
        return self._neural_network.backend

    @backend.setter
    def backend(self, backend: Backend) -> None:
        self._neural_network.backend = backend

    def forward(self, input_data: Tensor | None = None) -> Tensor:
        """Return the expectation values (..., n_outputs) for inputs (..., n_inputs).

        Half-precision inputs are computed in single precision: amplitudes need it. Without inputs,
        as the stock class allows, the circuit must have none.

        Raises:
            ShapeError: The last dimension is not the number of inputs, or an input is complex.
        """
        if input_data is None:
            input_data = self.weight.new_empty(0)
        return evaluate_layers([self], [input_data])[0]

    def extra_repr(self) -> str:
        method = self.neural_network.gradient_method.name
        return f"{self.variational}, backend={self.backend.name}, gradient={method}"


def _accept_stock_names(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object
) -> None:
    stock = state_dict.pop(f"{prefix}_weights", None)
    if stock is not None:
        state_dict.setdefault(f"{prefix}weight", stock)


def evaluate_layers(layers: Sequence[QuantumLayer], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the values (..., n_outputs) of layers of one backend, for inputs (..., n_inputs) each.

    Raises:
        ShapeError: An input does not have its layer's number of features, or there are more or
            fewer inputs than layers, or an input is complex.
    """
    if torch.compiler.is_compiling():
        return _beside_the_compiler(layers, inputs)
    return _evaluate_layers(layers, inputs)


def _evaluate_layers(layers: Sequence[QuantumLayer], inputs: Sequence[Tensor]) -> list[Tensor]:
    if len(layers) != len(inputs):
        raise ShapeError(f"{len(layers)} circuits need as many inputs, but got {len(inputs)}")
    points = []
    for layer, features in zip(layers, inputs, strict=True):
        network = layer.neural_network
        what = f"Inputs of circuit '{network.variational.name}'"
        if features.dim() == 0 or features.shape[-1] != network.num_inputs:
            raise ShapeError(
                f"{what} must have shape (..., {network.num_inputs}), but have shape "
                f"{tuple(features.shape)}"
            )
        if features.dtype.is_complex:
            raise ShapeError(f"{what} must be real, but are {features.dtype}")
        double = torch.promote_types(features.dtype, layer.weight.dtype) == torch.float64
        dtype = torch.float64 if double else torch.float32
        samples = math.prod(features.shape[:-1])
        rows = features.reshape(samples, network.num_inputs).to(dtype)
        points.append(network.point(rows, layer.weight.to(dtype)))
    methods = [layer.neural_network.gradient_method for layer in layers]
    values = evaluate_round(layers[0].backend, points, methods)
    return [
        value.reshape(*features.shape[:-1], value.shape[-1])
        for value, features in zip(values, inputs, strict=True)
    ]


#: Nothing that evaluates circuits can be traced, and one break of the graph is better than many. It
#: is `torch.compiler.disable`, without the second that importing the compiler takes.
_beside_the_compiler = _disable_dynamo(_evaluate_layers)


def quantum_layer(
    variational: VariationalCircuit,
    backend: Backend | str,
    gradient: str | GradientMethod | None = None,
    initial_weights: Tensor | np.ndarray | Sequence[float] | None = None,
    *,
    generator: torch.Generator | None = None,
) -> QuantumLayer:
    """Return a variational circuit as a torch module.

    Args:
        variational: The circuit.
        backend: The backend that it runs on, or its name.
        gradient: A method that the backend supports, by name or, with options, as an object
            (`Spsa(samples=4)`); the backend's best one where omitted.
        initial_weights: Shape (n_weights,); uniform in [0, 1) where omitted. Kept in single
            precision; `.double()` makes the layer a double-precision one.
        generator: Source of random initial weights; torch's own where omitted.

    Raises:
        UnknownNameError: There is no backend, or gradient method, of this name.
        RequestError: The backend does not support the gradient method.
        ShapeError: `initial_weights` has the wrong shape.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import get_backend, quantum_layer
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> layer = quantum_layer(circuit, get_backend("statevector"))
        >>> layer(torch.zeros(5, 4)).shape
        torch.Size([5, 4])
    """
    if isinstance(backend, str):
        from qhybrid_runtime.backends.registry import get_backend

        backend = get_backend(backend)
    method = gradient_method(backend, gradient)
    if initial_weights is None:
        weights = torch.rand(variational.num_weights, generator=generator)
    else:
        weights = torch.as_tensor(initial_weights).detach().clone().float()
    if weights.shape != (variational.num_weights,):
        raise ShapeError(
            f"Argument `initial_weights` must have shape ({variational.num_weights},), but has "
            f"shape {tuple(weights.shape)}"
        )
    # Circuits that start from different weights are perturbed differently too.
    stream = RandomStream(zlib.crc32(weights.cpu().numpy().tobytes()))
    network = BroadcastEstimatorQNN(variational, backend, gradient_method=method, stream=stream)
    return QuantumLayer(network, weights)


#: More rounds than a step of training has, so that rounds of different steps differ in number.
_ROUNDS_PER_STEP = 1 << 16


def continue_at(module: nn.Module, step: int) -> None:
    """Derive all random numbers of a module's circuits from a step's number.

    A training run that does so before each step draws the same errors and perturbations when it is
    interrupted and resumed as when it is not.

    Args:
        module: Any module that holds circuits.
        step: The number of the step, from 0.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import continue_at, get_backend, quantum_layer
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> layer = quantum_layer(circuit, get_backend("statevector"), "spsa")
        >>> gradients = []
        >>> for _ in range(2):
        ...     continue_at(layer, step=7)
        ...     layer.weight.grad = None
        ...     layer(torch.ones(1, 4)).sum().backward()
        ...     gradients.append(layer.weight.grad)
        >>> torch.equal(*gradients)
        True
    """
    layers = [child for child in module.modules() if isinstance(child, QuantumLayer)]
    for layer in layers:
        layer.neural_network.stream.calls = step * _ROUNDS_PER_STEP
    for backend in {id(layer.backend): layer.backend for layer in layers}.values():
        backend.at_round(step * _ROUNDS_PER_STEP)


@contextmanager
def on_backend(module: nn.Module, backend: Backend) -> Iterator[None]:
    """Let all circuits of a module run on another backend for the time of a block."""
    layers = [child for child in module.modules() if isinstance(child, QuantumLayer)]
    usual = [layer.backend for layer in layers]
    for layer in layers:
        layer.backend = backend
    try:
        yield
    finally:
        for layer, own in zip(layers, usual, strict=True):
            layer.backend = own
