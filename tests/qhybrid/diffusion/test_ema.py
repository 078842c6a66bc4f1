import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from qhybrid.diffusion.ema import Ema
from qhybrid.diffusion.specs import EmaSpec
from qhybrid_circuits.errors import RequestError


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.b = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def set_to(self, step: int) -> None:
        """Move along known curves, one a parameter."""
        with torch.no_grad():
            self.a.copy_(torch.tensor([math.sin(step / 7), step / 50, -1.0 / (1 + step)]))
            self.b.fill_(math.cos(step / 3))


#: De Falco et al. (2024).
PAPER = EmaSpec(decay=0.995, every=10, start=100)


def _recurrence(last_step: int, spec: EmaSpec) -> Iterator[float]:
    """The average of cos(step / 3) after each step, in plain Python, from the paper's rule."""
    average = 0.0
    for s in range(last_step + 1):
        value = math.cos(s / 3)
        if s % spec.every == 0:
            if s <= spec.start:
                average = value
            else:
                n = s - spec.start - 1
                decay = min(spec.decay, 1 - (1 + n) ** -spec.power)
                average = decay * average + (1 - decay) * value
        yield average


@pytest.mark.parametrize(
    "spec", [PAPER, EmaSpec(every=1, decay=0.99), EmaSpec(every=3, start=0, decay=0.6)]
)
def test_follows_the_papers_recurrence(spec: EmaSpec) -> None:
    model, copy = _Model(), _Model()
    ema = Ema(model, spec)
    for s, expected in enumerate(_recurrence(320, spec)):
        model.set_to(s)
        ema.step(model, s)
        ema.copy_to(copy)
        assert copy.b.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("spec", [PAPER, EmaSpec(decay=0.9, every=7, warmup=False)])
def test_the_share_of_the_first_weights_is_what_is_left_of_them(spec: EmaSpec) -> None:
    model = _Model()
    nn.init.ones_(model.b)
    ema = Ema(model, spec)
    nn.init.zeros_(model.b)
    for step in range(40):
        assert ema.initial_share(step) == pytest.approx(_averaged_b(ema), abs=1e-12)
        ema.step(model, step)


def _averaged_b(ema: Ema) -> float:
    copy = _Model()
    ema.copy_to(copy)
    return copy.b.item()


def test_without_a_warm_up_it_is_equation_10_of_chen_et_al() -> None:
    """From the random weights on, theta <- beta theta + (1 - beta) theta_new at every step."""
    model, copy, average = _Model(), _Model(), 0.0
    ema = Ema(model, EmaSpec(decay=0.999, start=50, warmup=False))
    for s in range(200):
        model.set_to(s)
        ema.step(model, s)
        average = 0.999 * average + (1 - 0.999) * math.cos(s / 3)
        ema.copy_to(copy)
        assert copy.b.item() == pytest.approx(average, abs=1e-12)
        assert ema.decay_at(s) == 0.999


def test_decay_at_known_steps() -> None:
    ema = Ema(_Model(), PAPER)
    # n = 0 keeps nothing, n = 7 keeps 1 - 8^(-2/3) = 3/4, and late steps keep the largest share.
    assert [ema.decay_at(s) for s in (0, 100, 101)] == [0, 0, 0]
    assert ema.decay_at(108) == pytest.approx(0.75)
    # 1 - (1 + n)^(-2/3) reaches 0.995 at n = 200^1.5 - 1 = 2827.4.
    assert ema.decay_at(101 + 2827) < 0.995
    assert ema.decay_at(101 + 2828) == 0.995


def test_swapped_restores_after_errors_and_when_nested() -> None:
    model = _Model()
    ema = Ema(model)
    model.set_to(5)
    trained = model.a.detach().clone()
    with ema.swapped(model):
        assert model.a.tolist() == [0, 0, 0]
        with ema.swapped(model):
            assert model.a.tolist() == [0, 0, 0]
        assert model.a.tolist() == [0, 0, 0]
    assert torch.equal(model.a, trained)
    with pytest.raises(KeyboardInterrupt), ema.swapped(model):
        raise KeyboardInterrupt
    assert torch.equal(model.a, trained)


def test_state_goes_on_as_if_never_interrupted() -> None:
    spec = EmaSpec(every=1, start=2, decay=0.9)
    model, copy = _Model(), _Model()
    ema = Ema(model, spec)
    for s in range(40):
        if s == 20:
            state = ema.state_dict()
            ema.step(model, s)
            ema = Ema(_Model(), spec)
            ema.load_state_dict(state)
        model.set_to(s)
        ema.step(model, s)
    ema.copy_to(copy)
    assert copy.b.item() == pytest.approx(list(_recurrence(39, spec))[-1], abs=1e-12)


def test_what_is_not_trained_has_no_average() -> None:
    """States of earlier versions have one of it nevertheless."""
    everything = Ema(_Model()).state_dict()
    everything["shadow_params"][1].fill_(0.5)
    model = _Model()
    model.a.requires_grad_(False)
    ema = Ema(model, EmaSpec(start=0))
    ema.step(model, 0)
    model.set_to(1)
    assert len(ema.state_dict()["shadow_params"]) == 1
    ema.load_state_dict(everything)
    with ema.swapped(model):
        assert model.b.item() == 0.5
        assert model.a[0].item() == pytest.approx(math.sin(1 / 7))


def test_state_of_another_model_is_refused() -> None:
    with pytest.raises(RequestError, match="another model"):
        Ema(_Model()).load_state_dict(Ema(nn.Linear(2, 2)).state_dict())


@pytest.mark.parametrize(
    "wrong", [{"decay": 1.0}, {"decay": -0.1}, {"every": 0}, {"start": -1}, {"power": 0.0}]
)
def test_wrong_specs(wrong: dict[str, float]) -> None:
    with pytest.raises(RequestError):
        EmaSpec(**wrong)  # type: ignore[arg-type]
