import pytest
import torch

from qhybrid.models.image_sizes import IMAGE_SIZES
from qhybrid.models.spec import ModelSpec
from qhybrid.models.unet import UNet
from qhybrid.models.zoo import build_model
from qhybrid_circuits.errors import ShapeError


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("size", list(IMAGE_SIZES))
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    model = build_model(ModelSpec("unet", size, channels))
    seen: list[torch.Size] = []
    model.vertex.register_forward_hook(lambda _, args, __: seen.append(args[0].shape))
    images = torch.randn(2, channels, size, size)
    assert model(images, torch.tensor([0, 999])).shape == images.shape
    assert seen == [(2, 40, 2, 2)]


def test_parameters_by_part() -> None:
    """The published breakdown (De Falco et al. 2024, released code) at 28x28x1."""
    model = build_model(ModelSpec("unet"))
    to_vertex, last_conv = model.encoder[-1].resize, model.decoder[-1].resize
    assert _count(model.stem) == 500
    assert _count(model.time) == 2_080
    assert _count(to_vertex) == 10_840
    assert _count(model.encoder) - _count(to_vertex) == 136_630
    assert _count(model.vertex) == 85_200
    assert _count(last_conv) == 910
    assert _count(model.decoder) - _count(last_conv) == 243_360
    assert _count(model.last) == 3_790
    assert _count(model.output) == 11
    assert _count(model) == 483_321


def test_only_seven_to_two_is_a_large_kernel() -> None:
    kernels = {
        size: [
            level.resize.kernel_size[0]
            for level in build_model(ModelSpec("unet", size)).encoder[:-1]
        ]
        for size in IMAGE_SIZES
    }
    assert kernels == {8: [4, 4], 16: [4, 4, 4], 28: [4, 4, 7], 32: [4, 4, 4, 4]}


def test_each_image_sees_its_own_time() -> None:
    model = build_model(ModelSpec("unet", 8), generator=torch.Generator().manual_seed(0))
    image = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    both = model(image.expand(2, -1, -1, -1), torch.tensor([3, 800]))
    assert not torch.allclose(both[0], both[1], atol=1e-3)
    torch.testing.assert_close(both[1:], model(image, torch.tensor([800])), atol=1e-5, rtol=1e-4)


def test_every_skip_reaches_the_output() -> None:
    """The gradient arrives at each encoder level although the vertex is cut off."""

    class Cut(torch.nn.Module):
        def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x)

    model = UNet(Cut(), image_size=8, channels=1, dim=4)
    model(torch.randn(2, 1, 8, 8), torch.tensor([1, 2])).square().sum().backward()
    for level in model.encoder:
        assert level.first.first.weight.grad.abs().sum() > 0
        assert level.attention.output.weight.grad.abs().sum() > 0
    assert model.encoder[-1].resize.weight.grad is None


@pytest.mark.parametrize(
    ("images", "times"), [((2, 1, 8, 7), (2,)), ((2, 3, 8, 8), (2,)), ((1, 8, 8), (1,))]
)
def test_wrong_images_are_refused(images: tuple[int, ...], times: tuple[int, ...]) -> None:
    model = build_model(ModelSpec("unet", 8))
    with pytest.raises(ShapeError, match=r"\(B, 1, 8, 8\)"):
        model(torch.zeros(images), torch.zeros(times))


def test_wrong_times_are_refused() -> None:
    model = build_model(ModelSpec("unet", 8))
    with pytest.raises(ShapeError, match="`time`"):
        model(torch.zeros(2, 1, 8, 8), torch.tensor(3))


def test_bfloat16_autocast_is_close() -> None:
    model = build_model(ModelSpec("unet", 8), generator=torch.Generator().manual_seed(0))
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    times = torch.tensor([0, 10, 500, 999])
    exact = model(images, times)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(images, times)
    assert (half.float() - exact).std() < 0.1 * exact.std()
