"""A hybrid that predicts velocities (Salimans and Ho 2022), with the process of such models."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.process import ProcessInfo
from qhybrid.models.row import ModelRow, Size
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import Execution
from qhybrid_circuits.ansatz import build_ansatz
from qhybrid_runtime import quantum_layer


class VelocityProcess(EpsilonProcess):
    """v = sqrt(alpha-bar) epsilon - sqrt(1 - alpha-bar) x_0."""

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        times = torch.randint(self.schedule.timesteps, (len(images),), generator=generator)
        noise = noise_source.stream(generator).normal(images.shape).to(images)
        times = times.to(images.device)
        noisy = self.scheduler.add_noise(images, noise, times)
        signal = self.scheduler.alphas_cumprod.to(images)[times, None, None, None]
        velocity = signal.sqrt() * noise - (1 - signal).sqrt() * images
        return functional.mse_loss(model(noisy, times).float(), velocity)

    def epsilon(self, predicted: Tensor, x: Tensor, t: int) -> Tensor:
        signal = self.scheduler.alphas_cumprod[t]
        return signal.sqrt() * predicted + (1 - signal).sqrt() * x


class VelocityUNet(nn.Module):
    def __init__(self, spec: ModelSpec, execution: Execution) -> None:
        super().__init__()
        circuit = build_ansatz("ladder", qubits=4, layers=spec.ansatz_layers)
        self.quantum = quantum_layer(
            circuit, execution.backend, execution.gradient, generator=execution.generator
        )
        self.down = nn.Conv2d(spec.channels, spec.dim, 3, padding=1)
        self.squeeze = nn.Linear(spec.dim + 1, circuit.num_inputs)
        self.widen = nn.Linear(circuit.num_outputs, spec.dim)
        self.up = nn.Conv2d(spec.dim, spec.channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        features = functional.silu(self.down(x))
        pooled = torch.cat([features.mean((2, 3)), t[:, None].to(x) / 1000], dim=1)
        angles = self.quantum(torch.tanh(self.squeeze(pooled)))
        return self.up(features + self.widen(angles)[:, :, None, None])


ROW = ModelRow(
    "velocity-unet",
    VelocityUNet,
    "Two convolutions around a ladder circuit, predicting velocities",
    "a test of qhybrid",
    circuits=True,
    size=Size(dim=8, ansatz_layers=1, image_size=8),
    variants=("paper",),
    process=ProcessInfo(VelocityProcess, models="a model of velocities"),
)
