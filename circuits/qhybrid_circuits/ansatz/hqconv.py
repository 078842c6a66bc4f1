from collections.abc import Sequence

from qiskit.circuit import Parameter, QuantumCircuit

from qhybrid_circuits.ansatz._layers import (
    PIXELS,
    Variant,
    check_count,
    check_variant,
    layered_circuit,
    turns,
)
from qhybrid_circuits.variational import VariationalCircuit


def hqconv(*, channels: int = 3, layers: int = 3, variant: Variant = "paper") -> VariationalCircuit:
    """Hierarchical quantum convolution: first within each channel, then from channel to channel.

    De Falco et al. (2024), figure 5. Qubit 4*channel + pixel. A layer has 8 weights a channel
    (block A: a ring of four controlled RZ-then-RX) and 2 for each neighbouring pair of channels
    (block B between their first pixels), 28 at three channels. An angle is 2*pi*weight.

    With `variant="released"` block A is left out, as it is in the authors' code, where the loop
    over the channels runs zero times: of the 10*channels - 2 weights of a layer only the first
    2*(channels - 1) stand in a gate. The others are kept, so that both variants count the same.

    Args:
        channels: Channels of four pixels (2x2).
        layers: Repetitions after the encoding.
        variant: "paper" or "released".

    Raises:
        CircuitError: `channels` or `layers` is not a positive whole number, or `variant` unknown.
    """
    check_count("hqconv", "channels", channels)
    check_count("hqconv", "layers", layers)
    check_variant("hqconv", variant)

    def add_layer(circuit: QuantumCircuit, weights: Sequence[Parameter]) -> None:
        remaining = iter(weights)
        if variant == "paper":
            for channel in reversed(range(channels)):
                for pixel in reversed(range(PIXELS)):
                    control = PIXELS * channel + (pixel + 1) % PIXELS
                    target = PIXELS * channel + pixel
                    circuit.crz(turns(next(remaining)), control, target)
                    circuit.crx(turns(next(remaining)), control, target)
        for channel in reversed(range(channels - 1)):
            control, target = PIXELS * channel, PIXELS * (channel + 1)
            circuit.crz(turns(next(remaining)), control, target)
            circuit.crx(turns(next(remaining)), control, target)

    weights_per_layer = 2 * PIXELS * channels + 2 * (channels - 1)
    return layered_circuit("hqconv", PIXELS * channels, layers, weights_per_layer, add_layer)
