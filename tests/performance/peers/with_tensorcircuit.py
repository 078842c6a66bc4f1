"""TensorCircuit-NG on JAX, compiled, the batch mapped."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorcircuit as tc
from worker import Gates, Run


def prepare(
    num_qubits: int,
    gates: Gates,
    outputs: list[int],
    inputs: np.ndarray,
    weights: np.ndarray,
    cotangent: np.ndarray,
) -> Run:
    """Return the values, and the derivatives of sum(cotangent * values) by inputs and weights."""
    tc.set_backend("jax")
    tc.set_dtype("complex64")

    def one(sample: Any, weights: Any) -> Any:
        parameters = jnp.concatenate([sample, weights])
        circuit = tc.Circuit(num_qubits)
        for name, places, angles in gates:
            numbers = [
                offset if parameter is None else offset + slope * parameters[parameter]
                for offset, slope, parameter in angles
            ]
            if len(numbers) > 1:
                raise ValueError(f"gate '{name}' has several angles")
            getattr(circuit, name)(*places, **({"theta": numbers[0]} if numbers else {}))
        return jnp.stack([jnp.real(circuit.expectation_ps(z=[qubit])) for qubit in outputs])

    @jax.jit
    def value_and_vjp(samples: Any, weights: Any, cotangent: Any) -> Any:
        values, pull_back = jax.vjp(jax.vmap(one, (0, None)), samples, weights)
        return values, *pull_back(cotangent)

    arguments = [jnp.asarray(each, jnp.float32) for each in (inputs, weights, cotangent)]

    def run() -> tuple[Any, Any, Any]:
        return tuple(jax.block_until_ready(value_and_vjp(*arguments)))

    return run
