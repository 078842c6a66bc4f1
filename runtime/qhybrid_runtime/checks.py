"""Check the arguments that callers pass."""

import torch
from torch import Tensor

from qhybrid_circuits import NotFiniteError, RequestError, ShapeError
from qhybrid_runtime.machine import available_bytes

_GIB = 1 << 30


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise RequestError unless an argument, e.g. "`shots`", is a whole number in its range."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= (most or value):  # type: ignore[operator]
        allowed = f"of at least {least}" if most is None else f"from {least} to {most:,}"
        raise RequestError(f"Argument {name} must be a whole number {allowed}, but is {value!r}")


def check_shape(name: str, tensor: Tensor, form: str, *, last: int, least_dims: int) -> None:
    """Raise ShapeError unless the tensor has enough dimensions and `last` columns.

    `form` is the shape in words, e.g. "(..., B, n_inputs)".
    """
    if tensor.dim() < least_dims or tensor.shape[-1] != last:
        wanted = form.rsplit(",", 1)[-1].strip(" ()")
        raise ShapeError(
            f"Argument `{name}` must have shape {form} with {wanted} = {last}, but has shape "
            f"{tuple(tensor.shape)}"
        )


def check_real_pair(first_name: str, first: Tensor, second_name: str, second: Tensor) -> None:
    """Raise ShapeError unless both are float32 or both float64, on one torch device."""
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


def all_finite(tensor: Tensor) -> bool:
    """Return whether a tensor in the host's memory has neither NaN nor infinity.

    True on a GPU, where the host would have to wait at every call, and inside `torch.func.vmap`,
    where a tensor stands for many.
    """
    if tensor.device.type != "cpu":
        return True
    try:
        return bool(torch.isfinite(tensor).all())
    except RuntimeError:  # that of vmap: there is no one truth
        return True


def check_finite(name: str, tensor: Tensor) -> None:
    """Raise NotFiniteError if a tensor holds NaN or infinity, as far as `all_finite` knows."""
    if all_finite(tensor):
        return
    where = tuple(int(i) for i in torch.nonzero(~torch.isfinite(tensor))[0])
    count = int((~torch.isfinite(tensor)).sum())
    raise NotFiniteError(
        f"Argument `{name}` must be finite, but is {tensor[where].item()} at index {where} "
        f"({count} of {tensor.numel()} numbers are not finite); look at what computes it"
    )


def check_memory(what: str, needed: int) -> None:
    """Raise RequestError if `what`, e.g. "a state", needs more bytes than the machine has."""
    available = available_bytes()
    if needed > available:
        raise RequestError(
            f"{what} needs {needed / _GIB:.1f} GiB, but {available / _GIB:.1f} GiB of memory are "
            "available; use fewer qubits, single precision or fewer threads "
            "(torch.set_num_threads)"
        )
