"""What the tests of models share."""

import torch

from qhybrid.models.quantum_vertex import QuantumVertexConv


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def convs(model: torch.nn.Module) -> list[QuantumVertexConv]:
    return [m for m in model.modules() if isinstance(m, QuantumVertexConv)]


def batch(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two images of 8x8 and their timesteps."""
    return torch.randn(2, 1, 8, 8, generator=generator(seed)), torch.tensor([20, 700])
