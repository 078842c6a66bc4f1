"""Convolution with standardized weights."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WeightStandardizedConv2d(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1 (Qiao et al. 2019, eq. 5).

    Mean and biased variance run over input channels and kernel positions, one pair per output
    channel. They are computed in the dtype of the weights: under autocast that is float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x of shape (B, C_in, H, W) to (B, C_out, H', W')."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        half = self.weight.dtype in (torch.float16, torch.bfloat16)
        weight = (self.weight - mean) * torch.rsqrt(variance + (1e-3 if half else 1e-5))
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def standardized_conv3x3(in_channels: int, out_channels: int) -> WeightStandardizedConv2d:
    """The size-keeping 3x3 convolution of the ResNet blocks."""
    return WeightStandardizedConv2d(in_channels, out_channels, kernel_size=3, padding=1)
