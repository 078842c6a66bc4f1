"""Quanvolution: a circuit as the filter of a residual block (De Falco et al. 2024, section 3.2)."""

import torch
from torch import Tensor, nn

from qhybrid.models.convolution import standardized_conv3x3
from qhybrid.models.patch_circuit import PatchCircuit
from qhybrid.models.resnet_block import ResNetBlock


class QuanvolutionalConv(nn.Module):
    """A circuit on all 2x2 patches of the first channels, a 3x3 convolution on the others.

    Attributes:
        circuit: Takes as many channels as it was built for, one group.
        classical: The weight-standardized convolution of the other channels; None without any.
    """

    def __init__(self, circuit: PatchCircuit, channels: int) -> None:
        """Build for feature maps of `channels` channels and even sides."""
        super().__init__()
        self.circuit = circuit
        rest = channels - circuit.group
        self.classical = standardized_conv3x3(rest, rest) if rest else None

    def forward(self, x: Tensor) -> Tensor:
        """Map x of shape (B, channels, H, W) to the same shape, the circuit's channels first."""
        return self.join(self.measure(x), x)

    def measure(self, x: Tensor) -> Tensor:
        """Evaluate the circuit on the patches of x: (B, group, H, W)."""
        return self.circuit(x[:, : self.circuit.group])  # type: ignore[no-any-return]

    def join(self, quantum: Tensor, x: Tensor) -> Tensor:
        """Append to the circuit's channels the convolution of the other channels of x."""
        if self.classical is None:
            return quantum
        return torch.cat([quantum, self.classical(x[:, self.circuit.group :])], dim=1)


class QuanvResNetBlock(ResNetBlock):
    """A residual block whose two convolutions are quanvolutional, each with a circuit of its own.

    In the released code the second circuit reads the block's input, not what the first convolution
    has made of it (`rereads_input`).
    """

    first: QuanvolutionalConv
    second: QuanvolutionalConv

    def __init__(
        self,
        first: QuanvolutionalConv,
        second: QuanvolutionalConv,
        channels: int,
        time_features: int,
        *,
        rereads_input: bool = False,
    ) -> None:
        """Build at one width around two convolutions that keep it."""
        super().__init__(channels, channels, time_features, first=first, second=second)
        self.rereads_input = rereads_input

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x of shape (B, C, H, W) and time (B, time_features) to the shape of x."""
        hidden = self.modulate(self.first(x), time)
        quantum = self.second.measure(x if self.rereads_input else hidden)
        return self.finish(self.second.join(quantum, hidden), x)
