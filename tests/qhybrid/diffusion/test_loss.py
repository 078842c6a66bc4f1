import math

import pytest
import torch
from torch import Tensor

from qhybrid.diffusion.loss import denoising_loss, p2_weights
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid_circuits.errors import RequestError

_SCHEDULER = noise_scheduler(ScheduleSpec())


def _images(count: int) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(4)) * 2 - 1


def test_weights_are_choi_and_others() -> None:
    for alpha_bar in (0.9999, 0.5, 1e-8):
        for k, gamma in ((1.0, 1.0), (2.0, 0.5), (1.0, 0.0)):
            expected = 1 / (k + alpha_bar / (1 - alpha_bar)) ** gamma
            got = p2_weights(torch.tensor(alpha_bar, dtype=torch.float64), P2Weighting(k, gamma))
            assert got.item() == pytest.approx(expected, rel=1e-9)


def test_loss_is_the_weighted_error_of_the_noise() -> None:
    images, seen = _images(16), []

    def model(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x, t))
        return 0.1 * x

    loss = denoising_loss(
        model, images, _SCHEDULER, P2Weighting(gamma=1), torch.Generator().manual_seed(9)
    )
    ((x, t),) = seen
    total = 0.0
    for i in range(16):
        f = [math.cos((s / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for s in range(1001)]
        alpha_bar = math.prod(1 - min(1 - f[s + 1] / f[s], 0.999) for s in range(int(t[i]) + 1))
        noise = (x[i] - math.sqrt(alpha_bar) * images[i]) / math.sqrt(1 - alpha_bar)
        error = (0.1 * x[i] - noise).square().mean().item()
        total += error / (1 + alpha_bar / (1 - alpha_bar))
    assert loss.item() == pytest.approx(total / 16, rel=1e-4)
    assert loss.shape == ()


def test_gamma_zero_is_the_mean_squared_error_of_standard_normal_noise() -> None:
    loss = denoising_loss(
        lambda x, t: torch.zeros_like(x),
        _images(500),
        _SCHEDULER,
        P2Weighting(gamma=0),
        torch.Generator().manual_seed(1),
    )
    # The mean square of 32,000 normal values: standard error 0.008.
    assert loss.item() == pytest.approx(1, abs=0.03)


def test_timesteps_are_uniform_and_repeatable() -> None:
    drawn: list[Tensor] = []

    def model(x: Tensor, t: Tensor) -> Tensor:
        drawn.append(t)
        return x

    losses = [
        denoising_loss(
            model,
            _images(8000),
            _SCHEDULER,
            P2Weighting(gamma=1),
            torch.Generator().manual_seed(seed),
        ).item()
        for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert drawn[0].min() >= 0
    assert drawn[0].max() <= 999
    counts = torch.histc(drawn[0].float(), bins=10, min=0, max=1000)
    # 800 a bin, standard deviation 27.
    assert (counts - 800).abs().max() < 120


def test_gradients_reach_the_model_and_bf16_predictions_are_scored_in_float32() -> None:
    weight = torch.zeros((), requires_grad=True)
    loss = denoising_loss(
        lambda x, t: (weight * x).bfloat16(),
        _images(8),
        _SCHEDULER,
        P2Weighting(gamma=1),
        torch.Generator().manual_seed(0),
    )
    loss.backward()
    assert loss.dtype == torch.float32
    assert weight.grad is not None
    assert weight.grad < 0


def test_wrong_weighting() -> None:
    for k, gamma in ((0.0, 1.0), (1.0, -1.0)):
        with pytest.raises(RequestError, match="k > 0"):
            P2Weighting(k, gamma)
