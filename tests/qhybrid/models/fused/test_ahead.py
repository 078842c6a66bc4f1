"""What is compiled ahead is what a U-Net uses."""

import torch

from qhybrid.models.fused import attention_kernels, convolution_kernels, norm_kernels
from qhybrid.models.fused.ahead import compile_kernels
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model

MODULES = (attention_kernels, convolution_kernels, norm_kernels)


def signatures() -> dict[str, int]:
    """Return how often each kernel that Python calls has been compiled or loaded."""
    return {
        name: len(kernel.signatures)
        for module in MODULES
        for name, kernel in vars(module).items()
        if hasattr(kernel, "signatures")
        and kernel.py_func.__module__ == module.__name__
        and not kernel.targetoptions.get("no_cpython_wrapper")
    }


def test_a_u_net_needs_no_other_kernels_than_those_compiled_ahead() -> None:
    compile_kernels()
    before = signatures()
    model = build_model(ModelSpec("unet", image_size=16))
    model(torch.rand(2, 1, 16, 16), torch.tensor([1, 2])).sum().backward()
    assert len(before) >= 9
    assert set(before.values()) == {1}
    assert signatures() == before
