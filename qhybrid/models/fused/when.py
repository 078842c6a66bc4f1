"""Where compiled kernels take the place of torch's operations."""

import torch
from torch import Tensor

from qhybrid.models.image_sizes import FUSED_FROM


def fits(x: Tensor, weight: Tensor, half: bool = False) -> bool:
    """Return whether kernels may take x of shape (B, C, H, W), and weights of their module.

    They are for the CPU and single precision (`half`: x may be of bfloat16, and autocast on), for
    calls of which no compiler or transform of torch has to see the operations, and for gradients by
    the backward pass.
    """
    return (
        x.device.type == "cpu"
        and weight.dtype == torch.float32
        and (x.dtype == torch.float32 or (half and x.dtype == torch.bfloat16))
        and (half or not torch.is_autocast_enabled("cpu"))
        and type(x) is Tensor
        and x.ndim == 4
        and x.shape[2] * x.shape[3] >= FUSED_FROM
        and not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
    )
