"""Parts that ansätze share: argument checks, and encoding + layers + <Z> of each qubit."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits.encoding import angle_encoding
from qhybrid_circuits.encoding.angle import RotationAxis
from qhybrid_circuits.errors import CircuitError
from qhybrid_circuits.variational import VariationalCircuit

#: "paper" follows the publication, "released" the code its authors published.
Variant = Literal["paper", "released"]

#: "paper" has the published pairs of qubits. The others are ours: they keep the number of weights
#: and the targets, and take the controls of the few pairs that a QPU lacks from a neighbour.
Topology = Literal["paper", "heavy-hex", "line"]

#: The pixels of one channel at the vertex (2x2), and so the qubits that a channel takes.
PIXELS = 4

#: Far beyond what any computer simulates; larger numbers are typing errors that exhaust memory.
MOST_COUNT = 10_000

LayerBuilder = Callable[[QuantumCircuit, Sequence[Parameter]], None]


def check_count(ansatz: str, argument: str, value: Any, least: int = 1) -> None:
    """Raise CircuitError unless `value` is a whole number from `least` to `MOST_COUNT`."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise CircuitError(
            f"Argument `{argument}` of ansatz '{ansatz}' must be a whole number of at least "
            f"{least}, but is {value!r}"
        )
    if value > MOST_COUNT:
        raise CircuitError(
            f"Argument `{argument}` of ansatz '{ansatz}' must be at most {MOST_COUNT:,}, but is "
            f"{value}"
        )


def check_choice(ansatz: str, argument: str, value: str, kind: Any) -> None:
    """Raise CircuitError unless `value` is one of the texts of a Literal."""
    allowed = get_args(kind)
    if value not in allowed:
        named = [f"'{name}'" for name in allowed]
        raise CircuitError(
            f"Argument `{argument}` of ansatz '{ansatz}' must be {', '.join(named[:-1])} or "
            f"{named[-1]}, but is '{value}'"
        )


def check_convolution(ansatz: str, channels: Any, layers: Any, variant: str, topology: str) -> None:
    """Raise CircuitError unless the arguments of a convolution of channels are allowed."""
    check_count(ansatz, "channels", channels)
    check_count(ansatz, "layers", layers)
    check_choice(ansatz, "variant", variant, Variant)
    check_choice(ansatz, "topology", topology, Topology)


def turns(weight: Parameter) -> ParameterExpression:
    """Return the angle in radians of a weight that counts whole turns, as in the released code."""
    return 2 * np.pi * weight


def layered_circuit(
    name: str,
    num_qubits: int,
    layers: int,
    weights_per_layer: int,
    add_layer: LayerBuilder,
    *,
    axis: RotationAxis = "x",
) -> VariationalCircuit:
    """Return angle encoding about `axis`, then layers, with <Z> of every qubit as the outputs.

    Each call of `add_layer` appends one layer, and is handed the layer's weights in order.
    """
    inputs = tuple(ParameterVector("x", num_qubits))
    weights = tuple(ParameterVector("w", layers * weights_per_layer))
    circuit = QuantumCircuit(num_qubits, name=name)
    circuit.compose(angle_encoding(inputs, axis=axis), inplace=True)
    for layer in range(layers):
        first = layer * weights_per_layer
        add_layer(circuit, weights[first : first + weights_per_layer])
    observables = tuple(
        SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], num_qubits)
        for qubit in range(num_qubits)
    )
    return VariationalCircuit(name, circuit, inputs, weights, observables)
