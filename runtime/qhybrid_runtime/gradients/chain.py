import numpy as np
import torch

from qhybrid_runtime.engine.angles import AngleTable


def chain(table: AngleTable, parameters: np.ndarray, by_angles: np.ndarray) -> np.ndarray:
    """Return derivatives in parameters (B, n_parameters) from those in angles (B, n_angles)."""
    with torch.enable_grad():
        leaf = torch.tensor(parameters, requires_grad=True)
        angles = table(leaf)
        if not angles.requires_grad:  # there is no angle, or none that its parameters change
            return np.zeros_like(parameters)
        found = torch.autograd.grad(
            angles, leaf, torch.as_tensor(by_angles), materialize_grads=True
        )
    return np.asarray(found[0])
