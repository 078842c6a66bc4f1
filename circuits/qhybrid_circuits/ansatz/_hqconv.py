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

#: Control of each target pixel in block A; the paper's is a ring, the others are open chains.
_CONTROLS: dict[str, tuple[int, int, int, int]] = {
    "paper": (1, 2, 3, 0),
    "heavy-hex": (1, 2, 1, 0),
    "line": (1, 2, 3, 2),
}


def hqconv(
    *, channels: int = 3, layers: int = 3, variant: Variant = "paper", topology: Topology = "paper"
) -> VariationalCircuit:
    """Build a hierarchical quantum convolution: within each channel, then between channels.

    De Falco et al. (2024), figure 5. Qubit 4*channel + pixel. A layer has 8 weights a channel
    (block A: a ring of four controlled RZ-then-RX) and 2 for each neighbouring pair of channels
    (block B between their first pixels), 28 at three channels. An angle is 2*pi*weight.

    In block A, pixel p + 1 controls pixel p here, as in the authors' code. In the paper's text
    (section 3.1) p is the control and p + 1 the target. Exchanging pixels 1 and 3 of every channel,
    of the inputs and of the outputs, turns the one circuit into the other, weight for weight. Block
    B has the same direction in both.

    With `variant="released"` block A is left out, as it is in the authors' code, where the loop
    over the channels runs zero times: of the 10*channels - 2 weights of a layer only the first
    2*(channels - 1) stand in a gate. The others are kept, so that both variants count the same.

    A ring of four is native to a square lattice and to no other common QPU. `topology` chooses
    pairs that are; this is ours, not the paper's, and another circuit with as many weights. On a
    "heavy-hex" lattice pixel 2 is controlled by pixel 1 in place of 3, so that a channel is the
    chain 2-1-0-3, and block B is controlled by pixel 3 of the one channel in place of 0, the qubit
    between two channels' first pixels. On a "line" pixel 3 is controlled by pixel 2 in place of 0,
    and block B by the pixel 3 that stands next to the other channel's pixel 0.

    Args:
        channels: Channels of four pixels (2x2).
        layers: Repetitions after the encoding.
        variant: "paper" or "released".
        topology: "paper", "heavy-hex" or "line".

    Raises:
        CircuitError: `channels` or `layers` is not a positive whole number, or `variant` or
            `topology` is unknown.

    Example:
        >>> from qhybrid_circuits.ansatz import hqconv
        >>> circuit = hqconv(channels=3, layers=3)
        >>> circuit.num_qubits, circuit.num_inputs, circuit.num_weights
        (12, 12, 84)
    """
    check_convolution("hqconv", channels, layers, variant, topology)
    controls = _CONTROLS[topology]
    link = 0 if topology == "paper" else PIXELS - 1

    def add_layer(circuit: QuantumCircuit, weights: Sequence[Parameter]) -> None:
        remaining = iter(weights)
        if variant == "paper":
            for channel in reversed(range(channels)):
                for pixel in reversed(range(PIXELS)):
                    control = PIXELS * channel + controls[pixel]
                    target = PIXELS * channel + pixel
                    circuit.crz(turns(next(remaining)), control, target)
                    circuit.crx(turns(next(remaining)), control, target)
        for channel in reversed(range(channels - 1)):
            control, target = PIXELS * channel + link, PIXELS * (channel + 1)
            circuit.crz(turns(next(remaining)), control, target)
            circuit.crx(turns(next(remaining)), control, target)

    weights_per_layer = 2 * PIXELS * channels + 2 * (channels - 1)
    return layered_circuit("hqconv", PIXELS * channels, layers, weights_per_layer, add_layer)
