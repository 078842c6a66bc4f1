"""Choosing between processor and GPU."""

import torch

from qhybrid_circuits.errors import RequestError


def choose_device(name: str) -> str:
    """Turn `auto`, `cpu` or `cuda` into `cpu` or `cuda`.

    Raises:
        RequestError: A GPU was asked for and there is none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RequestError(
            "device 'cuda' is not available: torch finds no GPU here; use --device cpu or auto"
        )
    return name
