"""The network of Jo et al. (2026): a circuit between an encoder and a decoder of states."""

from typing import Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from qhybrid.models.complex_layers import ComplexLinear, ModReLU
from qhybrid.models.control import Options, circuit_bank
from qhybrid.models.unet import check_images
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.errors import ShapeError
from qhybrid_runtime import Backend, WeightTable


class QuantumBottleneck(nn.Module):
    """A circuit with weights for each time step and class, and trained observables.

    Adaptive non-local observables are trained Hermitian operators on all qubits. The Pauli strings
    P_j are a basis of those, H_k = b_k 1 + sum_j W_kj P_j with real b and W, and expectation values
    are linear: <H_k> = b_k + sum_j W_kj <P_j>. So a circuit with the Pauli strings as its outputs,
    and a linear layer after it, have the same functions, and only what is measured depends on no
    weight, so that a device measures the same bases all along.

    Attributes:
        table: The circuit's weights, (timesteps, classes, num_angles).
        bank: Holds the circuit, or its control.
        observables: W and b.
    """

    def __init__(
        self,
        circuit: VariationalCircuit,
        backend: Backend,
        *,
        amplitudes: int,
        observables: int,
        timesteps: int,
        classes: int,
        **options: Unpack[Options],
    ) -> None:
        """Build around a circuit.

        Args:
            circuit: Its inputs are the amplitudes, then what the table has weights for.
            backend: Where the circuit runs.
            amplitudes: Inputs that are data: amplitudes, or both parts of complex ones.
            observables: Trained observables.
            timesteps: Time steps with weights of their own.
            classes: Classes with weights of their own.
            **options: See `Options`; the initial weights are the table's, and so are those
                of a control.
        """
        super().__init__()
        choices, generator = (timesteps, classes), options.get("generator")
        self.table = WeightTable(circuit, first=amplitudes, choices=choices, generator=generator)
        columns = self.table.num_columns
        self.bank = circuit_bank([circuit], backend, weights_as_inputs=columns, **options)
        self.observables = nn.Linear(circuit.num_outputs, observables)

    def forward(self, amplitudes: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        """Map amplitudes (B, amplitudes), times (B,) and classes (B,) to (B, observables)."""
        weights = self.table(time, labels)
        (values,) = self.bank([torch.cat([amplitudes.to(weights.dtype), weights], dim=1)])
        return cast("Tensor", self.observables(values.to(amplitudes.dtype)))


class QuantumBottleneckUNet(nn.Module):
    """Predicts the direction of a state's mean one time step earlier, from the state alone.

    A state is a complex vector of d = channels * H * W amplitudes, of which the length has no
    meaning. Its tensor (B, 2 * channels, H, W) has the real parts, then the imaginary parts.

    Attributes:
        encoder: From both parts of a state to what the vertex takes.
        vertex: The module at the bottleneck: amplitudes, times and classes to features.
        decoder: From the features, with the state beside them where it is skipped to, to a state.
        skip: Whether what the circuit cannot hold of the state goes past it, to the decoder.
    """

    def __init__(
        self,
        encoder: nn.Module,
        vertex: nn.Module,
        *,
        image_size: int,
        channels: int,
        features: int,
        skip: bool = True,
    ) -> None:
        """Build the decoder of a vertex that has `features` outputs."""
        super().__init__()
        self.shape = (2 * channels, image_size, image_size)
        width = 2 * channels * image_size**2
        self.encoder, self.vertex, self.skip = encoder, vertex, skip
        self.decoder = nn.Sequential(
            nn.Linear(features + width * skip, width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict normalized states.

        Args:
            x: States, (B, 2 * channels, H, W), of any length but zero.
            time: Time step of each, (B,), from 0.
            labels: Class of each, (B,), from 0; None is the first class for all.

        Returns:
            States of length 1, shaped as x.

        Raises:
            ShapeError: x, time or labels has another shape.
        """
        check_images(x, time, self.shape)
        if labels is None:
            labels = torch.zeros_like(time)
        if labels.shape != time.shape:
            raise ShapeError(
                f"argument `labels` must have shape ({len(x)},), one class per image, but has "
                f"{tuple(labels.shape)}"
            )
        states = functional.normalize(x.flatten(1), dim=1)
        features = self.vertex(self.encoder(states), time, labels)
        known = torch.cat([features, states], dim=1) if self.skip else features
        predicted = self.decoder(known)
        # Under autocast it is bf16, too coarse for a vector of length 1.
        return functional.normalize(predicted.to(x.dtype), dim=1).view_as(x)


def complex_encoder(width: int, amplitudes: int) -> nn.Sequential:
    """Return the paper's encoder, of vectors of `width` complex numbers to complex amplitudes.

    Sections 3.6 and 3.2: `ComplexLinear` layers "that preserve phase information", and the vector
    normalized. Their number, widths and activation are open; here they are the released network's,
    two layers of which the first keeps the width, with an activation that keeps phases too. The
    squares of both parts of all amplitudes have mean 1.
    """
    return nn.Sequential(
        ComplexLinear(width, width),
        ModReLU(width),
        ComplexLinear(width, amplitudes),
        nn.RMSNorm(2 * amplitudes, elementwise_affine=False),
    )


def real_encoder(width: int, amplitudes: int) -> nn.Sequential:
    """Return the released code's encoder, of `width` real numbers to real amplitudes."""
    return nn.Sequential(
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, amplitudes),
        nn.LayerNorm(amplitudes),
    )
