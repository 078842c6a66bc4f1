import json
import re
from pathlib import Path
from typing import Any

import pytest

from qhybrid.cli import main
from qhybrid.models.rows import MODELS, RECIPES
from qhybrid.reproduction.experiment import read_experiment
from qhybrid.settings.recipes import OLD_NAMES, departures, recipe_names, recipes
from qhybrid.settings.sources import load_config
from qhybrid.training.stages import first_stage
from qhybrid_circuits.errors import UnknownNameError

ROOT = Path(__file__).parents[2]

# name -> model, images, classes, epochs; model and epochs of a first stage.
PAPERS: dict[str, tuple[Any, ...]] = {
    "defalco2024": ("1hqconv-qvunet", "mnist", None, 20, None, None),
    "defalco2024-transfer-mnist": ("1fqconv-qvunet", "mnist", None, 1, "unet", 19),
    "defalco2024-transfer-fashion": ("1fqconv-qvunet", "fashion_mnist", None, 2, "unet", 18),
    "capece-scratch": ("hqconv-wide-unet", "fashion_mnist", None, 20, None, None),
    "capece-transfer": ("hqconv-wide-unet", "mnist", None, 5, "wide-unet", 20),
    "chen2025-mnist": ("qattention-unet", "mnist", ("0",), 30, None, None),
    "chen2025-pathmnist": ("qattention-unet", "pathmnist", ("0",), 30, None, None),
    "jo2026": ("qbottleneck-unet", "mnist", None, 100, None, None),
    "jo2026-01": ("qbottleneck-unet", "mnist", ("0", "1"), 100, None, None),
}


@pytest.mark.parametrize("name", PAPERS)
def test_each_experiment_of_the_papers_has_a_recipe(name: str) -> None:
    config = load_config(name)
    data, transfer = config.data, config.transfer
    found = (config.model.name, data.dataset, data.classes, config.training.epochs)
    assert (*found, transfer.model, transfer.epochs) == PAPERS[name]


def test_transfers_have_the_settings_of_training_from_scratch() -> None:
    for name, base in (
        ("defalco2024-transfer-mnist", "defalco2024"),
        ("defalco2024-transfer-fashion", "defalco2024"),
        ("capece-transfer", "capece-scratch"),
    ):
        config, scratch = load_config(name), load_config(base)
        assert config.diffusion == scratch.diffusion
        assert config.ema == scratch.ema
        epochs = {"epochs": scratch.training.epochs}
        assert config.training.model_copy(update=epochs) == scratch.training
        first = first_stage(config)
        assert first.training.epochs == config.transfer.epochs
        assert (first.data, first.ema) == (config.data, config.ema)
        assert first.transfer.init_from is first.transfer.model is None
    assert load_config("capece-transfer").transfer.takes_vertex
    assert not load_config("defalco2024-transfer-mnist").transfer.takes_vertex


def test_transfers_are_those_of_the_tables_that_are_run_again() -> None:
    rows = read_experiment("defalco2024").rows
    for name, row in (
        ("defalco2024-transfer-mnist", "transfer19"),
        ("defalco2024-transfer-fashion", "transfer18"),
    ):
        transfer, start = load_config(name).transfer, rows[row].start
        assert start is not None
        assert (start.row, start.epoch) == ("classical", transfer.epochs)


def test_old_names_mean_what_they_did() -> None:
    for old, new in OLD_NAMES.items():
        assert load_config(old) == load_config(new)
    assert load_config("qattention").model.variant == "trainable"
    assert set(OLD_NAMES).isdisjoint(recipe_names())


def test_another_model_leaves_a_variant_that_it_does_not_have() -> None:
    assert load_config("qattention", {"model.name": "light-unet"}).model.variant == "paper"
    assert load_config("defalco2024", {"model.name": "unet"}).model.variant == "paper"
    with pytest.raises(UnknownNameError, match="unknown variant 'trainable'"):
        load_config("qattention", {"model.name": "light-unet", "model.variant": "trainable"})


def test_the_listing_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "--format", "json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert tuple(listed) == recipe_names()
    assert set(PAPERS) <= set(listed)
    assert listed["defalco2024-transfer-mnist"]["epochs"] == "19 + 1"
    assert all(each.summary and "\n" not in each.summary for each in recipes())
    assert main(["configs"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(listed)
    assert main(["train", "--config", "defalco"]) == 2
    assert "did you mean defalco2024" in capsys.readouterr().err


def test_departures_of_the_defaults_from_the_paper_are_one_line() -> None:
    config = load_config()
    said = departures(config, ())
    assert said is not None
    assert "\n" not in said
    assert said.startswith("these are not the settings of De Falco et al. 2024 (training.")
    assert said.endswith("--config defalco2024 has them")
    for key in ("batch_size", "learning_rate", "diffusion.p2_gamma", "ema.decay"):
        assert key in said
    # Who chooses values does not expect the paper's; other settings say nothing of that.
    for asked, told in (({"ema.decay": 0.9}, False), ({"training.seed": 3}, True)):
        assert (departures(load_config(overrides=asked), asked) is not None) == told


@pytest.mark.parametrize("name", MODELS.built_in)
def test_a_recipe_departs_from_itself_nowhere(name: str) -> None:
    paper = MODELS[name].paper
    if paper in RECIPES and name != "qreverse":  # which is trained on quantum states
        assert departures(load_config(RECIPES[paper], {"model.name": name}), ()) is None
    else:
        assert departures(load_config(overrides={"model.name": name}), ()) is None


def test_the_docs_name_recipes_that_exist() -> None:
    named: set[str] = set()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        named |= set(
            re.findall(r"--config ([a-z][a-z0-9-]*)\b(?!\.)", page.read_text(encoding="utf-8"))
        )
    assert named <= {*recipe_names(), *OLD_NAMES}
    listed = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
    assert all(f"--config {name}" in listed for name in PAPERS)
