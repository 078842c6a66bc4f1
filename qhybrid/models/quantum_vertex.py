"""Circuits in the place of convolutions at the 2x2 vertex."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Unpack, cast

import torch
from torch import Tensor, nn

from qhybrid.models.control import Options, circuit_bank
from qhybrid.models.convolution import WeightStandardizedConv3x3
from qhybrid.models.resnet_block import ResNetBlock
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.errors import CircuitError
from qhybrid_runtime import Backend

PIXELS = 4


def circuit_channels(circuits: Sequence[VariationalCircuit], channels: int) -> list[int]:
    """Channels of a 2x2 feature map that each circuit processes.

    Raises:
        CircuitError: A circuit does not map whole channels to as many, or there are too few.
    """
    counts = []
    for circuit in circuits:
        if circuit.num_inputs != circuit.num_outputs:
            raise CircuitError(
                f"circuit '{circuit.name}' at the vertex must have as many outputs as inputs, but "
                f"has {circuit.num_inputs} inputs and {circuit.num_outputs} outputs; give it one "
                "observable per input"
            )
        if circuit.num_inputs == 0 or circuit.num_inputs % PIXELS:
            raise CircuitError(
                f"circuit '{circuit.name}' at the vertex must take whole channels of {PIXELS} "
                f"pixels, but has {circuit.num_inputs} inputs; use 4, 8, 12, ..."
            )
        counts.append(circuit.num_inputs // PIXELS)
    if sum(counts) > channels:
        raise CircuitError(
            f"the vertex has {channels} channels, but its {len(counts)} circuits take "
            f"{sum(counts)}; use fewer or smaller circuits, or a larger dim"
        )
    return counts


def _standardized(channels: int) -> nn.Conv2d:
    return WeightStandardizedConv3x3(channels, channels)


class PartlyQuantumConv(nn.Module, ABC):
    """Circuits on the first channels of a feature map, a 3x3 convolution on the others.

    Attributes:
        quantum_channels: Channels that circuits take.
        classical: The convolution of the other channels; None without any.
        gain: What the circuits' outputs are multiplied by.
    """

    def share(
        self,
        quantum_channels: int,
        channels: int,
        *,
        scaled: bool = False,
        convolution: Callable[[int], nn.Conv2d] = _standardized,
    ) -> None:
        """Leave to a convolution what circuits do not take of the channels.

        `convolution` makes it of the number of these channels; weight-standardized if omitted.

        An output of the convolution is a sum over `fan_in` inputs with weights of variance 1, and
        so sqrt(fan_in) times as large as they are, where an expectation value is at most 1. The
        normalization that follows both leaves little of the circuits, unless they are `scaled` by
        this factor.
        """
        self.quantum_channels, rest = quantum_channels, channels - quantum_channels
        self.classical = convolution(rest) if rest else None
        fan_in = self.classical.weight[0].numel() if self.classical else 1
        self.gain = math.sqrt(fan_in) if scaled else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Map x of shape (B, channels, H, W) to (B, C, H, W), the circuits' channels first.

        C is the number of channels too, unless the convolution of the others changes theirs.
        """
        return self.join(self.measure(x), x)

    @abstractmethod
    def measure(self, x: Tensor) -> Tensor:
        """Evaluate the circuits on x: (B, quantum_channels, H, W)."""

    def join(self, quantum: Tensor, x: Tensor) -> Tensor:
        """Append to the circuits' channels the convolution of the other channels of x."""
        if self.gain != 1:
            quantum = self.gain * quantum
        if self.classical is None:
            return quantum
        return torch.cat([quantum, self.classical(x[:, self.quantum_channels :])], dim=1)


class QuantumVertexConv(PartlyQuantumConv):
    """Circuits and a convolution at the 2x2 vertex.

    The feature of pixel p of a circuit's channel c is its input 4 * c + p; its outputs are read
    the same way. In the released variant both are pixel-major: `channels * p + c`.

    Attributes:
        bank: The circuits, evaluated together in one round, or their controls.
    """

    def __init__(
        self,
        circuits: Sequence[VariationalCircuit],
        channels: int,
        backend: Backend,
        *,
        pixel_major: bool = False,
        scaled: bool = False,
        convolution: Callable[[int], nn.Conv2d] = _standardized,
        **options: Unpack[Options],
    ) -> None:
        """Give each circuit the next `num_inputs / 4` channels.

        Args:
            circuits: In the order of the channels that they take; at least one.
            channels: Channels of the input; those of the output unless `convolution` changes them.
            backend: Where the circuits run.
            pixel_major: Flatten as the released code does.
            scaled: See `share`.
            convolution: See `share`.
            **options: See `Options`.

        Raises:
            CircuitError: A circuit does not fit the feature map.
        """
        super().__init__()
        self.circuit_channels = circuit_channels(circuits, channels)
        self.pixel_major = pixel_major
        self.bank = circuit_bank(circuits, backend, **options)
        taken = sum(self.circuit_channels)
        self.share(taken, channels, scaled=scaled, convolution=convolution)

    def measure(self, x: Tensor, weights: Mapping[int, Tensor] | None = None) -> Tensor:
        """Evaluate the circuits, in one round.

        Args:
            x: Feature map, (B, channels, 2, 2).
            weights: Circuit index -> weights used in the place of its own, (num_weights,).

        Returns:
            Expectation values, (B, quantum_channels, 2, 2), in the dtype of x.
        """
        parts = torch.split(x[:, : self.quantum_channels], self.circuit_channels, dim=1)
        inputs = [self._flatten(part) for part in parts]
        replaced = {f"layers.{i}.weight": weight for i, weight in (weights or {}).items()}
        outputs = torch.func.functional_call(self.bank, replaced, (inputs,))
        restored = [self._unflatten(output) for output in outputs]
        return torch.cat(restored, dim=1).to(x.dtype)

    def circuit_weights(self, index: int) -> Tensor:
        """The weights of one circuit, (num_weights,)."""
        return cast("Tensor", self.bank.layers[index].weight)

    def _flatten(self, part: Tensor) -> Tensor:
        pixels = part.flatten(2)
        return (pixels.transpose(1, 2) if self.pixel_major else pixels).flatten(1)

    def _unflatten(self, output: Tensor) -> Tensor:
        channels = output.shape[1] // PIXELS
        if self.pixel_major:
            output = output.view(len(output), PIXELS, channels).transpose(1, 2)
        return output.reshape(len(output), channels, 2, 2)


class QuantumResNetBlock(ResNetBlock):
    """A residual block at the vertex, both convolutions of which hold circuits."""

    first: QuantumVertexConv
    second: QuantumVertexConv

    def __init__(
        self, first: QuantumVertexConv, second: QuantumVertexConv, channels: int, time_features: int
    ) -> None:
        """Build at one width around two convolutions that keep it."""
        super().__init__(channels, channels, time_features, first=first, second=second)


class ReusedOutputsBlock(QuantumResNetBlock):
    """The released code's block: the second convolution reuses the first one's circuit outputs.

    The second convolution's circuits are counted as parameters but never evaluated.
    """

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x of shape (B, C, 2, 2) and time (B, time_features) to the shape of x."""
        quantum = self.first.measure(x)
        hidden = self.modulate(self.first.join(quantum, x), time)
        return self.finish(self.second.join(quantum, hidden), x)


class SharedWeightsBlock(QuantumResNetBlock):
    """The released code's full block: some circuits of the second convolution borrow weights.

    The second convolution's own weights of these circuits are counted but never used.
    """

    def __init__(
        self,
        first: QuantumVertexConv,
        second: QuantumVertexConv,
        channels: int,
        time_features: int,
        *,
        shared: Sequence[int],
    ) -> None:
        """Share the weights of the circuits whose indices are in `shared`."""
        super().__init__(first, second, channels, time_features)
        self.shared = tuple(shared)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x of shape (B, C, 2, 2) and time (B, time_features) to the shape of x."""
        hidden = self.modulate(self.first(x), time)
        borrowed = {i: self.first.circuit_weights(i) for i in self.shared}
        quantum = self.second.measure(hidden, borrowed)
        return self.finish(self.second.join(quantum, hidden), x)
