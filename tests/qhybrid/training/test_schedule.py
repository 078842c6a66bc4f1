import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR

from qhybrid.training.schedule import learning_rate_factor


def test_the_cosine_is_torchs() -> None:
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = CosineAnnealingLR(optimizer, T_max=20)
    for step in range(20):
        factor = learning_rate_factor(step, schedule="cosine", warmup_steps=0, total_steps=20)
        assert factor == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_warm_up_rises_to_the_full_rate(schedule: str) -> None:
    factors = [
        learning_rate_factor(step, schedule=schedule, warmup_steps=4, total_steps=100)
        for step in range(5)
    ]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_constant_stays() -> None:
    assert learning_rate_factor(99, schedule="constant", warmup_steps=4, total_steps=9) == 1.0
