"""Networks that predict variances beside the noise (Nichol and Dhariwal 2021)."""

import torch
from torch import nn

from qhybrid_circuits.errors import RequestError


def add_variances(model: nn.Module, name: str) -> None:
    """Double the outputs of a network's last layer; the noise comes first, as it was.

    The new weights are zero, so that each variance starts at the geometric mean of its bounds.

    Args:
        model: Its last layer is a convolution, `output`.
        name: What the model is called in messages.

    Raises:
        RequestError: It has no such layer.
    """
    layer = getattr(model, "output", None)
    if not isinstance(layer, nn.Conv2d):
        raise RequestError(
            f"variances can be learned by networks whose last layer is a Conv2d named `output`, "
            f"but {name} has none; leave diffusion.variance out"
        )
    layer.out_channels *= 2
    for kind, values in list(layer.named_parameters()):
        doubled = torch.cat([values.detach(), torch.zeros_like(values)])
        setattr(layer, kind, nn.Parameter(doubled))
