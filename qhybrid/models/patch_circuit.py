"""One circuit on every 2x2 patch of a feature map, as a convolution's filter is."""

from typing import Unpack, cast

from torch import Tensor, nn

from qhybrid.models.control import Options, circuit_bank
from qhybrid.models.quantum_vertex import circuit_channels
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.errors import ShapeError
from qhybrid_runtime import Backend

_PATCHES_FIRST = (0, 1, 3, 5)
_CHANNEL_MAJOR, _PIXEL_MAJOR = (2, 4, 6), (4, 6, 2)
"""Axes of (batch, group, channel, row, pixel row, column, pixel column)."""


class PatchCircuit(nn.Module):
    """One circuit, shared by all non-overlapping 2x2 patches and all groups of channels.

    Patches and groups are more of the batch: however many there are, they are one evaluation. The
    feature of pixel p of a group's channel c is the circuit's input 4 * c + p, and its outputs are
    read the same way; pixel-major it is `channels * p + c`.

    Attributes:
        group: Channels that the circuit takes at a time.
        bank: Holds the circuit, or its control.
    """

    def __init__(
        self,
        circuit: VariationalCircuit,
        channels: int,
        backend: Backend,
        *,
        pixel_major: bool = False,
        **options: Unpack[Options],
    ) -> None:
        """Build for feature maps of at least `channels` channels.

        Args:
            circuit: Maps 4 inputs a channel to as many outputs.
            channels: The fewest channels that it will be given.
            backend: Where the circuit runs.
            pixel_major: Flatten as the released code does.
            **options: See `Options`.

        Raises:
            CircuitError: The circuit does not map whole channels to as many, or takes too many.
        """
        super().__init__()
        (self.group,) = circuit_channels([circuit], channels)
        self.bank = circuit_bank([circuit], backend, **options)
        self._order = (*_PATCHES_FIRST, *(_PIXEL_MAJOR if pixel_major else _CHANNEL_MAJOR))

    @property
    def weight(self) -> Tensor:
        """The circuit's weights, (num_weights,)."""
        return cast("Tensor", self.bank.layers[0].weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map x of shape (B, C, H, W) to expectation values of the same shape and dtype.

        Raises:
            ShapeError: C is not a multiple of the group, or H or W is odd.
        """
        batch, channels, height, width = x.shape
        if channels % self.group or height % 2 or width % 2:
            raise ShapeError(
                f"argument `x` must have a multiple of {self.group} channels and even sides for "
                f"2x2 patches, but has shape {tuple(x.shape)}"
            )
        split = (batch, channels // self.group, self.group, height // 2, 2, width // 2, 2)
        patches = x.reshape(split).permute(self._order)
        (values,) = self.bank([patches.flatten(4)])
        back = sorted(range(len(self._order)), key=self._order.__getitem__)
        return self.gathered(values).view(patches.shape).permute(back).reshape(x.shape).to(x.dtype)

    def gathered(self, values: Tensor) -> Tensor:
        """The outputs (batch, group, row, column, num_outputs) as they are put back together."""
        return values
