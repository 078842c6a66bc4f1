"""Convolutions that keep the size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.models.fused.when import fits


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution that keeps the size, by kernels where they are quicker."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build with a bias."""
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x of shape (B, C_in, H, W) to (B, C_out, H, W)."""
        return self.convolve(x, self.weight)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """Convolve x with a weight of the same shape as the module's own."""
        if not fits(x, weight) or self.bias is None:
            return F.conv2d(x, weight, self.bias, padding=1)
        # Kernels load numba, for half a second.
        from qhybrid.models.fused.convolution import Convolution

        return Convolution.apply(x, weight, self.bias)  # type: ignore[no-any-return]


class Conv1x1(nn.Conv2d):
    """A linear map of the channels at each position."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build with a bias."""
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map x of shape (B, C_in, H, W) to (B, C_out, H, W)."""
        if x.device.type != "cpu" or self.bias is None or x.ndim != 4:
            return super().forward(x)
        # As products of matrices it takes half to a third of the time of oneDNN's convolution.
        weights = self.weight.flatten(1).expand(x.shape[0], -1, -1)
        mapped = torch.baddbmm(self.bias[None, :, None], weights, x.flatten(2))
        return mapped.view(x.shape[0], self.out_channels, *x.shape[2:])


class WeightStandardizedConv3x3(Conv3x3):
    """A convolution whose filters have mean 0 and variance 1 (Qiao et al. 2019, eq. 5).

    Mean and biased variance run over input channels and kernel positions, one pair per output
    channel. They are computed in the dtype of the weights: under autocast that is float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x of shape (B, C_in, H, W) to (B, C_out, H, W)."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        half = self.weight.dtype in (torch.float16, torch.bfloat16)
        weight = (self.weight - mean) * torch.rsqrt(variance + (1e-3 if half else 1e-5))
        return self.convolve(x, weight)
