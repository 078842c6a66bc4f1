"""Attention over channels whose weights a circuit computes (Chen et al. 2025, section IV.D)."""

from typing import Unpack

from torch import Tensor, nn

from qhybrid.models.control import Options, circuit_bank
from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime import Backend


class QuantumAttention(nn.Module):
    """Multiplies each channel by a number that a circuit makes of all channels' means.

    The means are projected linearly to the circuit's inputs and its outputs to one factor a
    channel, which may be negative: there is no softmax or sigmoid.

    Attributes:
        bank: Holds the circuit, or its control.
        detached: Whether no gradient passes the circuit: what comes before it is trained by the
            other path alone, and `project_in`, which has no other, is not trained at all.
    """

    def __init__(
        self,
        circuit: VariationalCircuit,
        channels: int,
        backend: Backend,
        *,
        detached: bool = False,
        **options: Unpack[Options],
    ) -> None:
        """Build for feature maps of `channels` channels, around any circuit with in- and outputs.

        The published code detaches the circuit's inputs; see `Options` for the others.
        """
        super().__init__()
        self.project_in = nn.Linear(channels, circuit.num_inputs)
        self.bank = circuit_bank([circuit], backend, **options)
        self.project_out = nn.Linear(circuit.num_outputs, channels)
        self.detached = detached

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels of x, (B, channels, H, W)."""
        return x * self.factors(x.mean(dim=(2, 3)))[:, :, None, None]

    def factors(self, means: Tensor) -> Tensor:
        """Map the channels' means (B, channels) to a factor for each, of the same shape."""
        angles = self.project_in(means)
        (values,) = self.bank([angles.detach() if self.detached else angles])
        return self.project_out(values.to(means.dtype))  # type: ignore[no-any-return]
