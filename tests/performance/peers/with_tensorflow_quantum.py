"""tensorflow-quantum's C++ simulator with its adjoint method, a batch in one call."""

import os
from typing import Any

os.environ.update({"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"})

import cirq
import numpy as np
import sympy
import tensorflow as tf
import tensorflow_quantum as tfq
from tensorflow_quantum.core.ops import tfq_adj_grad_op
from worker import Gates, Run

_ROTATIONS = {"rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz}
_FIXED = {
    "h": cirq.H,
    "x": cirq.X,
    "y": cirq.Y,
    "z": cirq.Z,
    "s": cirq.S,
    "t": cirq.T,
    "cx": cirq.CNOT,
    "cz": cirq.CZ,
    "swap": cirq.SWAP,
}


def prepare(
    num_qubits: int,
    gates: Gates,
    outputs: list[int],
    inputs: np.ndarray,
    weights: np.ndarray,
    cotangent: np.ndarray,
) -> Run:
    """Return the values, and the derivatives of sum(cotangent * values) by inputs and weights."""
    count = inputs.shape[1]
    names = [f"p{index}" for index in range(count + len(weights))]
    qubits = cirq.GridQubit.rect(1, num_qubits)
    circuit = cirq.Circuit(_operation(gate, qubits, names) for gate in gates)
    batch = len(inputs)
    programs = tfq.convert_to_tensor([circuit] * batch)
    sums = [cirq.PauliSum.from_pauli_strings([cirq.Z(qubits[qubit])]) for qubit in outputs]
    operators = tfq.convert_to_tensor([sums] * batch)
    rows = np.concatenate([inputs, np.tile(weights, (batch, 1))], axis=1)
    values, weighting = tf.constant(rows, tf.float32), tf.constant(cotangent, tf.float32)
    symbols = tf.constant(names)
    expectation = tfq.get_expectation_op()

    def run() -> tuple[Any, Any, Any]:
        found = expectation(programs, symbols, values, operators).numpy()
        slopes = tfq_adj_grad_op.tfq_adj_grad(programs, symbols, values, operators, weighting)
        slopes = slopes.numpy()
        return found, slopes[:, :count], slopes[:, count:].sum(axis=0)

    return run


def _operation(gate: Any, qubits: list[Any], names: list[str]) -> Any:
    name, places, angles = gate
    on = [qubits[place] for place in places]
    if name in _FIXED:
        return _FIXED[name](*on)
    ((offset, slope, parameter),) = angles
    if parameter is not None and offset:
        raise ValueError("tensorflow-quantum has no sum of a symbol and a number")
    angle = offset if parameter is None else slope * sympy.Symbol(names[parameter])
    rotation = _ROTATIONS[name.removeprefix("c")](angle).on(on[-1])
    return rotation.controlled_by(on[0]) if name.startswith("c") else rotation
