"""Who computes values and vector-Jacobian products: the engine, and its peers.

A contender is prepared for a case and is then a function without arguments that returns values
(B, n_outputs) and the derivatives of sum(cotangent * values) by inputs and by weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from qhybrid.verification.gates import PENNYLANE_NAMES, PlainGate, plain_gates
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import compile_program
from tests.performance.cases import Case, z_qubit
from tests.performance.peers.elsewhere import prepare_elsewhere
from tests.performance.peers.environments import interpreter

Run = Callable[[], tuple[Any, Any, Any]]


@dataclass(frozen=True)
class Contender:
    """Attributes:
    name: As in the table.
    modules: Packages that must be installed.
    prepare: Returns the function to time.
    environment: The environment of its own that it needs, of `tests.performance.peers`.
    """

    name: str
    modules: tuple[str, ...]
    prepare: Callable[[Case], Run]
    environment: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages or environments that are not installed."""
        if self.environment is not None and not interpreter(self.environment).exists():
            return (f".peers/{self.environment}",)
        return tuple(module for module in self.modules if find_spec(module) is None)


def prepare_engine(case: Case, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Run:
    """Return the engine's evaluation on torch tensors of a torch device."""
    program = compile_program(case.variational)
    observables = ObservableSet(case.variational.observables, program.num_qubits)
    inputs, weights, cotangent = _leaves(case, dtype, device)

    def run() -> tuple[Any, Any, Any]:
        values = expectations(program, observables, inputs, weights)
        return values, *torch.autograd.grad(values, (inputs, weights), cotangent)

    return run


def prepare_backprop(case: Case) -> Run:
    """Return default.qubit with torch, which carries the batch as one broadcast."""
    node = _node(case, "default.qubit", interface="torch", diff_method="backprop")
    inputs, weights, cotangent = _leaves(case, torch.float32)

    def run() -> tuple[Any, Any, Any]:
        columns = [*inputs.unbind(1), *weights.unbind(0)]
        values = torch.stack(node(columns), dim=1)
        return values, *torch.autograd.grad(values, (inputs, weights), cotangent.to(values))

    return run


def prepare_lightning(case: Case) -> Run:
    """Return lightning.qubit with its adjoint method, which takes one sample at a time."""
    node = _node(
        case,
        "lightning.qubit",
        device_options={"c_dtype": np.complex64},
        interface="torch",
        diff_method="adjoint",
        device_vjp=True,
    )
    inputs, weights, cotangent = _leaves(case, torch.float32)

    def run() -> tuple[Any, Any, Any]:
        rows = [torch.stack(node([*row.unbind(0), *weights.unbind(0)])) for row in inputs]
        values = torch.stack(rows)
        return values, *torch.autograd.grad(values, (inputs, weights), cotangent.to(values))

    return run


def prepare_jax(case: Case) -> Run:
    """Return default.qubit under jax.jit and jax.vmap, the stack of the papers' code."""
    import jax
    import jax.numpy as jnp

    node = _node(case, "default.qubit", interface="jax", diff_method="backprop")
    inputs, weights, cotangent = map(jnp.asarray, (case.inputs, case.weights, case.cotangent))

    def values(samples: Any, weights: Any) -> Any:
        def one(sample: Any) -> Any:
            return jnp.stack(node([*sample, *weights]))

        return jax.vmap(one)(samples)

    @jax.jit
    def value_and_vjp(samples: Any, weights: Any, cotangent: Any) -> Any:
        result, pull_back = jax.vjp(values, samples, weights)
        return result, *pull_back(cotangent)

    def run() -> tuple[Any, Any, Any]:
        done: tuple[Any, Any, Any] = jax.block_until_ready(
            value_and_vjp(inputs, weights, cotangent)
        )
        return done

    return run


ENGINE = Contender("qhybrid", (), prepare_engine)
JAX = Contender("PennyLane, JAX jit + vmap", ("pennylane", "jax"), prepare_jax)
LIGHTNING = Contender(
    "PennyLane lightning.qubit, adjoint", ("pennylane", "pennylane_lightning"), prepare_lightning
)
BACKPROP = Contender("PennyLane default.qubit, torch backprop", ("pennylane",), prepare_backprop)
TFQ = Contender(
    "tensorflow-quantum, C++ adjoint",
    (),
    prepare_elsewhere("tensorflow_quantum"),
    "tensorflow_quantum",
)
TENSORCIRCUIT = Contender(
    "TensorCircuit-NG, JAX jit + vmap", (), prepare_elsewhere("tensorcircuit"), "tensorcircuit"
)

PEERS = (TFQ, TENSORCIRCUIT, JAX, LIGHTNING, BACKPROP)


def disagreement(run: Run, other: Run) -> float:
    """Return the largest difference of two contenders, relative where a derivative exceeds 1."""
    worst = 0.0
    for mine, theirs in zip(run(), other(), strict=True):
        a, b = _array(mine), _array(theirs)
        worst = max(worst, float((np.abs(a - b) / np.maximum(1, np.abs(b))).max()))
    return worst


def _array(value: Any) -> np.ndarray:
    tensor = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    return np.asarray(tensor, dtype=np.float64)


def _leaves(
    case: Case, dtype: torch.dtype, device: str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    place: dict[str, Any] = {"dtype": dtype, "device": device}
    inputs = torch.tensor(case.inputs, **place, requires_grad=True)
    weights = torch.tensor(case.weights, **place, requires_grad=True)
    return inputs, weights, torch.tensor(case.cotangent, **place)


def _node(
    case: Case, device: str, device_options: dict[str, Any] | None = None, **options: Any
) -> Callable[[Sequence[Any]], Any]:
    """Return the same circuit as a QNode of its inputs and weights, side by side in a list."""
    import pennylane as qml

    num_qubits = case.variational.num_qubits
    gates = plain_gates(case.variational)
    outputs = [z_qubit(observable) for observable in case.variational.observables]

    @qml.qnode(qml.device(device, wires=num_qubits, **(device_options or {})), **options)
    def node(parameters: Sequence[Any]) -> Any:
        for gate in gates:
            _apply(qml, gate, parameters)
        return [qml.expval(qml.PauliZ(qubit)) for qubit in outputs]

    return node  # type: ignore[no-any-return]


def _apply(qml: Any, gate: PlainGate, parameters: Sequence[Any]) -> None:
    angles = [
        a.offset if a.parameter is None else a.offset + a.slope * parameters[a.parameter]
        for a in gate.angles
    ]
    getattr(qml, PENNYLANE_NAMES[gate.name])(*angles, wires=list(gate.qubits))
