import math

import torch

from qhybrid.training.losses import LossMeter


def test_the_mean_starts_afresh_when_taken() -> None:
    meter = LossMeter()
    assert math.isnan(meter.mean())
    for step, loss in enumerate((1.0, 2.0, 6.0), start=1):
        meter.add(torch.tensor(loss), step)
    assert meter.take_mean() == 3.0
    meter.add(torch.tensor(5.0), 4)
    assert meter.mean() == 5.0


def test_a_meter_continues_from_its_state() -> None:
    meter, other = LossMeter(), LossMeter()
    meter.add(torch.tensor(1.0), 1)
    other.load_state_dict(meter.state_dict())
    other.add(torch.tensor(2.0), 2)
    assert other.mean() == 1.5


def test_the_first_step_that_was_not_finite_is_remembered() -> None:
    meter = LossMeter()
    for step, loss in enumerate((1.0, math.inf, math.nan, 1.0), start=1):
        meter.add(torch.tensor(loss), step)
    assert meter.first_bad_step() == 2
