"""The one place where shapes and dtypes of what callers pass in are checked."""

import torch
from torch import Tensor

from qhybrid_circuits import ShapeError


def check_shape(name: str, tensor: Tensor, form: str, *, last: int, least_dims: int) -> None:
    """Raise ShapeError unless the tensor has enough dimensions and `last` columns.

    Args:
        name: The argument's name.
        tensor: Its value.
        form: The shape in words, e.g. "(..., B, n_inputs)".
        last: Size of the last dimension.
        least_dims: Number of dimensions that must be there at least.
    """
    if tensor.dim() < least_dims or tensor.shape[-1] != last:
        wanted = form.rsplit(",", 1)[-1].strip(" ()")
        raise ShapeError(
            f"Argument `{name}` must have shape {form} with {wanted} = {last}, but has shape "
            f"{tuple(tensor.shape)}"
        )


def check_real_pair(first_name: str, first: Tensor, second_name: str, second: Tensor) -> None:
    """Raise ShapeError unless both are float32 or both float64, on one device."""
    for name, tensor in ((first_name, first), (second_name, second)):
        if tensor.dtype not in (torch.float32, torch.float64):
            raise ShapeError(
                f"Argument `{name}` must be float32 or float64, but is {tensor.dtype}; convert it "
                "with .float()"
            )
    if first.dtype != second.dtype or first.device != second.device:
        raise ShapeError(
            f"Arguments `{first_name}` and `{second_name}` must share dtype and device, but are "
            f"{first.dtype} on {first.device} and {second.dtype} on {second.device}"
        )
