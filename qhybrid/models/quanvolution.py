"""Quanvolution: a circuit as the filter of a residual block (De Falco et al. 2024, section 3.2)."""

from torch import Tensor

from qhybrid.models.patch_circuit import PatchCircuit
from qhybrid.models.quantum_vertex import PartlyQuantumConv
from qhybrid.models.resnet_block import ResNetBlock


class QuanvolutionalConv(PartlyQuantumConv):
    """A circuit on all 2x2 patches, and a convolution.

    Attributes:
        circuit: Takes as many channels as it was built for, one group.
    """

    def __init__(self, circuit: PatchCircuit, channels: int) -> None:
        """Build for feature maps of `channels` channels and even sides."""
        super().__init__()
        self.circuit = circuit
        self.share(circuit.group, channels)

    def measure(self, x: Tensor) -> Tensor:
        """Evaluate the circuit on the patches of x: (B, group, H, W)."""
        return self.circuit(x[:, : self.circuit.group])  # type: ignore[no-any-return]


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
