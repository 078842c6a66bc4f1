from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from qhybrid.comparison.evaluations import evaluate_missing, run_figures
from qhybrid.comparison.figures import DIRECTIONS, evaluation_figures, loss_figure
from qhybrid.comparison.models import find_models
from qhybrid.comparison.training_log import read_log
from qhybrid.evaluation import evaluate as evaluation
from qhybrid.evaluation.figures import FIGURES
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.evaluation.states import state_figures
from qhybrid.files import write_json, write_text
from qhybrid.models.spec import ModelSpec
from qhybrid.run_folder import Run
from qhybrid.states.density import random_states
from qhybrid_circuits.errors import RequestError

MakeRun = Callable[..., Run]
AddEvaluation = Callable[..., Path]


def test_the_final_loss_is_the_mean_over_the_steps_of_the_last_epoch(make_run: MakeRun) -> None:
    run = make_run("a")
    rows = [(10, 1, 0.9, 2.0), (20, 1, 0.8, 4.0), (30, 2, 0.5, 5.0), (34, 2, 0.1, 0.1)]
    lines = [f"{step},{epoch},{loss},0.1,{pace}" for step, epoch, loss, pace in rows]
    write_text(run.metrics_file, "\n".join(["step,epoch,...", *lines]) + "\n")
    log = read_log(run)
    assert log.final_loss == pytest.approx(np.average([0.5, 0.1], weights=[10, 4]))
    assert log.seconds_per_step == pytest.approx(np.median([1 / 2, 1 / 4, 1 / 5, 1 / 0.1]))
    assert log.steps == (10, 20, 30, 34)


@pytest.mark.parametrize("rows", ["", "1,1,nan,1,1\n", "1,1,0.5,1,0\n", "1,2,3\n", "\0\0"])
def test_a_damaged_log_is_refused(rows: str, make_run: MakeRun) -> None:
    run = make_run("a")
    write_text(run.metrics_file, f"step,epoch,...\n{rows}")
    with pytest.raises(RequestError, match=r"metrics\.csv' cannot be used .*leave the run out"):
        read_log(run)


def test_every_figure_has_a_direction(generator: torch.Generator) -> None:
    states = random_states(1, 4, generator)
    of_states = {each.name for each in state_figures(states, states, states, "train")}
    assert set(DIRECTIONS) == {name for each in FIGURES for name in each.limits} | of_states


def test_losses_of_other_images_or_diffusion_are_not_compared(make_run: MakeRun) -> None:
    runs = [
        make_run("a"),
        make_run("b", model__name="unet"),
        make_run("c", diffusion__p2_gamma=0.0),
        make_run("d", data__classes="0,1"),
        make_run("e", model__name="qbottleneck-unet"),
    ]
    models, _ = find_models([run.folder for run in runs])
    logs = [[read_log(each.run) for each in model.seeds] for model in models]
    assert loss_figure(models, logs).comparable == (0, 0, 1, 2, 3)


def test_the_newest_evaluation_of_the_present_weights_is_taken(
    make_run: MakeRun, add_evaluation: AddEvaluation
) -> None:
    run = make_run("a")
    write_json(run.folder / "environment-20.json", {"started": "2026-01-15T00:00:00+00:00"})
    stale = add_evaluation(run, 1, FID=1.0, created="2026-01-14T00:00:00+00:00")
    add_evaluation(run, 2, FID=2.0, SSIM=0.5)
    add_evaluation(run, 3, FID=3.0, KID=float("nan"))
    damaged = add_evaluation(run, 4, FID=4.0)
    write_text(damaged, '{"figures": 1')
    found, notes = run_figures(run)
    assert {each.name: figure.value for each, figure in found.items()} == {"FID": 3.0, "SSIM": 0.5}
    assert [note.partition(" is left out")[0] for note in notes] == [f"'{stale}'", f"'{damaged}'"]


def test_the_measurement_that_most_runs_have_is_compared(
    make_run: MakeRun, add_evaluation: AddEvaluation
) -> None:
    runs = [
        make_run(f"{name}{n}", model__name=name, training__seed=n)
        for name in ("unet", "light-unet")
        for n in range(2)
    ]
    for number, run in enumerate(runs):
        add_evaluation(run, 1, images=256, FID=float(number))
    add_evaluation(runs[0], 2, images=7000, FID=9.0, KID=9.0, steps=5)
    models, _ = find_models([run.folder for run in runs])
    figures, notes = evaluation_figures(models)
    assert {each.name: each.values for each in figures} == {
        "FID": ((0.0, 1.0), (2.0, 3.0)),
        "KID": ((9.0,), ()),
    }
    assert [each.better for each in figures] == ["lower", "lower"]
    assert any(note.startswith("FID (classifier; 7,000 images") for note in notes)
    missing = "missing for 1 of 2 runs of unet and 2 of 2 runs of light-unet"
    assert any(note.startswith("KID ") and missing in note for note in notes)
    assert any("drawn in different ways: unet: ddim, 20 steps" in note for note in notes)


def test_only_what_is_missing_is_evaluated(
    make_run: MakeRun, add_evaluation: AddEvaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("a")
    spec = ModelSpec("1hqconv-qvunet", image_size=8, dim=10, timesteps=1000)
    write_json(run.folder / "model.json", {"format": 1, "spec": spec.to_dict()})
    add_evaluation(run, 1, FID=1.0)
    asked = []
    monkeypatch.setattr(evaluation, "evaluate", lambda *each, console: asked.append(each))
    evaluate_missing(run, EvaluationRequest(num_images=256))
    assert asked == []
    others = [
        EvaluationRequest(num_images=300),
        EvaluationRequest(num_images=256, steps=5),
        EvaluationRequest(num_images=256, seed=1),
        EvaluationRequest(num_images=256, reference="test"),
        EvaluationRequest(num_images=256, features="classifier,mobilenet"),
    ]
    for request in others:
        evaluate_missing(run, request)
    assert asked == [(run.folder, request) for request in others]
