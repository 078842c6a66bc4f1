"""Layers of complex vectors, whose tensors hold the real parts and then the imaginary parts."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_FLOOR = 1e-12
"""Added to squared magnitudes: a square root has no derivative at 0."""


class ComplexLinear(nn.Module):
    """A linear map of complex vectors: y = W x + b.

    A phase of the input is a phase of W x, which a real map of both parts would mix up.

    Attributes:
        weight: Real and imaginary part of W, (2, outputs, inputs).
        bias: Those of b, (2, outputs).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Draw the initial weights as `nn.Linear` does, each part for itself."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(2, outputs))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., 2 * inputs) to (..., 2 * outputs)."""
        real, imaginary = self.weight
        rows = torch.cat([real, -imaginary], dim=1), torch.cat([imaginary, real], dim=1)
        return functional.linear(x, torch.cat(rows), self.bias.flatten())


class ModReLU(nn.Module):
    """Shorten complex numbers by a trained amount, to 0 at the least, and keep their phases.

    ReLU(|z| + b) z / |z| (Arjovsky et al. 2016, equation 8).

    Attributes:
        bias: b of each number, (size,).
    """

    def __init__(self, size: int) -> None:
        """Start with b = 0, which changes nothing."""
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, z: Tensor) -> Tensor:
        """Map (..., 2 * size) to the same shape; 0 stays 0, with finite derivatives."""
        parts = z.reshape(*z.shape[:-1], 2, len(self.bias))
        length = (parts.square().sum(-2, keepdim=True) + _FLOOR).sqrt()
        turned: Tensor = parts * (functional.relu(length + self.bias) / length)
        return turned.flatten(-2)
