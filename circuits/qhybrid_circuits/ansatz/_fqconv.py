from collections.abc import Sequence

from qiskit.circuit import Parameter, QuantumCircuit

from qhybrid_circuits.ansatz._layers import (
    PIXELS,
    Topology,
    Variant,
    check_convolution,
    layered_circuit,
    turns,
)
from qhybrid_circuits.variational import VariationalCircuit


def fqconv(
    *, channels: int = 3, layers: int = 3, variant: Variant = "paper", topology: Topology = "paper"
) -> VariationalCircuit:
    """Build a flat quantum convolution: the next channel's qubits control each channel's.

    De Falco et al. (2024), figure 6. Qubit 4*channel + pixel. For each channel, last first: block
    C, four CRZ, then block D, four CRX, from the same pixel of the next channel (cyclically). A
    layer has 8 weights a channel, 24 at three channels. An angle is 2*pi*weight.

    A qubit is controlled by the one 4 further, as in the authors' code. In the paper's text
    (section 3.1) q_p is the control and q_(p+4) the target. Exchanging channels 1 and 2 of three
    (c and -c modulo their number), of the inputs and of the outputs, turns the one circuit into the
    other, weight for weight.

    One channel has no next one (its pairs would be of a qubit with itself); there the controls are
    the channel's own next pixels, as in HQConv's block A. That case is ours, not the paper's.

    The pairs of one pixel form a ring of the channels, which is native to no common QPU at three
    channels. With `topology` "heavy-hex" or "line" (the same here) the last channel is controlled
    by the one before it in place of the first, so that they form a chain; this is ours, not the
    paper's, and another circuit with as many weights.

    Args:
        channels: Channels of four pixels (2x2).
        layers: Repetitions after the encoding.
        variant: "paper" or "released"; for this ansatz the authors' code agrees with the paper.
        topology: "paper", "heavy-hex" or "line".

    Raises:
        CircuitError: `channels` or `layers` is not a positive whole number, or `variant` or
            `topology` is unknown.

    Example:
        >>> from qhybrid_circuits.ansatz import fqconv
        >>> circuit = fqconv(channels=3, layers=3)
        >>> circuit.num_qubits, circuit.num_inputs, circuit.num_weights
        (12, 12, 72)
    """
    check_convolution("fqconv", channels, layers, variant, topology)
    num_qubits = PIXELS * channels

    def pair(channel: int, pixel: int) -> tuple[int, int]:
        target = PIXELS * channel + pixel
        if channels == 1:
            closing = topology != "paper" and pixel == PIXELS - 1
            return pixel - 1 if closing else (pixel + 1) % PIXELS, target
        if topology != "paper" and channel == channels - 1:
            return target - PIXELS, target
        return (target + PIXELS) % num_qubits, target

    def add_layer(circuit: QuantumCircuit, weights: Sequence[Parameter]) -> None:
        remaining = iter(weights)
        for channel in reversed(range(channels)):
            for gate in (circuit.crz, circuit.crx):
                for pixel in reversed(range(PIXELS)):
                    gate(turns(next(remaining)), *pair(channel, pixel))

    return layered_circuit("fqconv", num_qubits, layers, 2 * PIXELS * channels, add_layer)
