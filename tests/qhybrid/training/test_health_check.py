import io

import pytest
import torch
from rich.console import Console

from qhybrid.models.spec import ModelSpec
from qhybrid.training.health_check import warn_of_idle_weights


def said(spec: ModelSpec) -> str:
    out = io.StringIO()
    warn_of_idle_weights(Console(file=out, width=80), spec, "cpu")
    return out.getvalue()


@pytest.mark.parametrize("name", ["unet", "1hqconv-qvunet", "fullfqconv-qvunet", "qattention-unet"])
def test_a_sound_model_is_not_mentioned(name: str) -> None:
    assert said(ModelSpec(name, image_size=8)) == ""


def test_idle_weights_are_said_in_one_line() -> None:
    text = said(ModelSpec("1hqconv-qvunet", image_size=8, variant="released"))
    assert len(text.splitlines()) == 1
    assert "warning" in text
    assert "312 of the 336 circuit weights have no effect" in text


def test_a_broken_gradient_path_is_said_too() -> None:
    text = said(ModelSpec("qattention-unet", image_size=8, variant="released"))
    assert "48 of the 48 circuit weights have no effect on the model's output; " in text
    assert "no gradient reaches attention.project_in.weight and 1 more" in text


def test_the_papers_circuit_has_idle_weights_and_a_sound_path() -> None:
    text = said(ModelSpec("qattention-unet", image_size=8, variant="paper"))
    assert "48 of the 48 circuit weights have no effect on the model's output" in text
    assert "no gradient" not in text


def test_the_runs_random_numbers_stay_as_they_are() -> None:
    state = torch.get_rng_state()
    said(ModelSpec("1hqconv-qvunet", image_size=8, variant="released"))
    assert torch.equal(torch.get_rng_state(), state)
