"""How Lightning Fabric casts."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from qhybrid.fabric import MixedPrecision


class Bf16(MixedPrecision):
    """bf16 where autocast takes it; images and noise stay as they are, since they are targets."""

    def __init__(self, device: str) -> None:
        """Cast on `cpu` or `cuda`."""
        super().__init__("bf16-mixed", device)

    def forward_context(self) -> torch.autocast:
        """Return what the loss is computed in; a weight's gradients add up in float32."""
        return torch.autocast(self.device, dtype=torch.bfloat16, cache_enabled=False)

    def convert_input(self, data: Any) -> Any:
        """Leave the batch in single precision."""
        return data


@contextmanager
def tf32(enabled: bool) -> Iterator[None]:
    """Let the network's float32 matrix products be in TF32 for the time of a block.

    Circuits are not concerned: the engine multiplies in full precision.
    """
    if not enabled:
        yield
        return
    with warnings.catch_warnings():
        # torch 2.9 calls these functions old; later versions do not.
        warnings.filterwarnings("ignore", "Please use the new API settings")
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
