import pytest
import torch
from torch import Tensor

from qhybrid.models.complex_layers import ComplexLinear, ModReLU


def joined(x: Tensor) -> Tensor:
    """The tensor of a complex vector."""
    return torch.cat([x.real, x.imag], dim=-1)


def vectors(count: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.randn(count, size, generator=generator, dtype=torch.complex128)


def test_a_complex_layer_is_the_product_of_complex_numbers(generator) -> None:
    """Values, and gradients by torch's own complex autograd."""
    layer = ComplexLinear(5, 3).double()
    x = vectors(4, 5, generator).requires_grad_()
    weight, bias = (torch.complex(*p.detach()).requires_grad_() for p in layer.parameters())
    expected = joined(x @ weight.T + bias)
    found = layer(joined(x))
    torch.testing.assert_close(found, expected)
    direction = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    (by_x,) = torch.autograd.grad((found * direction).sum(), x, retain_graph=True)
    (found * direction).sum().backward(inputs=list(layer.parameters()))
    theirs = torch.autograd.grad((expected * direction).sum(), [x, weight, bias])
    torch.testing.assert_close(by_x, theirs[0])
    for parameter, gradient in zip(layer.parameters(), theirs[1:], strict=True):
        torch.testing.assert_close(parameter.grad, torch.view_as_real(gradient).movedim(-1, 0))


def test_initial_weights_are_as_large_as_those_of_real_layers() -> None:
    torch.manual_seed(0)
    ours, theirs = ComplexLinear(256, 64), torch.nn.Linear(256, 64)
    assert ours.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.02)
    assert ours.bias.abs().max() < 1 / 16


def test_the_activation_shortens_and_keeps_phases(generator) -> None:
    layer, x = ModReLU(6).double(), vectors(50, 6, generator)
    assert torch.allclose(layer(joined(x)), joined(x), atol=1e-9)
    with torch.no_grad():
        layer.bias.copy_(torch.linspace(-2, 0.5, 6))
    lengths = (x.abs() + layer.bias.detach()).clamp_min(0)
    torch.testing.assert_close(layer(joined(x)), joined(torch.polar(lengths, x.angle())))
    assert (lengths == 0).any()


def test_derivatives_of_the_activation_are_finite_everywhere(generator) -> None:
    layer = ModReLU(3).double()
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([-0.3, 0.0, 0.2]))
    x = joined(vectors(4, 3, generator)).requires_grad_()
    assert torch.autograd.gradcheck(layer, x)
    zero = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    found = layer(zero)
    assert not found.any()
    found.sum().backward()
    assert zero.grad.isfinite().all()
