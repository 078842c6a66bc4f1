import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from qhybrid.diffusion.process import EPSILON
from qhybrid.diffusion.specs import EmaSpec, P2Weighting, ScheduleSpec
from qhybrid.models.rows import MODELS
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.settings.config import Config
from qhybrid.settings.option import attribute_texts, option_fields
from qhybrid.settings.reference import reference
from qhybrid.settings.sources import config_keys, config_sections, option_keys, parse_config

ROOT = Path(__file__).parents[2]


def test_every_setting_is_described() -> None:
    for section in config_sections().values():
        assert set(section.model_fields) <= set(attribute_texts(section)), section.__name__


def test_the_reference_page_is_what_the_settings_say() -> None:
    page = ROOT / "docs" / "settings.md"
    again = "python -m qhybrid.settings.reference > docs/settings.md"
    assert page.read_text(encoding="utf-8") == reference(), f"write it again: {again}"
    assert all(f"`{key}`" in reference() for key in config_keys())


def test_defaults_are_equal_wherever_they_appear() -> None:
    config = Config()
    assert config.diffusion.schedule_spec == ScheduleSpec()
    assert config.diffusion.weighting == P2Weighting()
    assert config.ema.spec == EmaSpec()


def test_options_of_a_request_are_its_fields() -> None:
    names = [f.name for owner in (SamplingRequest, ExecutionRequest) for f in option_fields(owner)]
    known = {f.name for owner in (SamplingRequest, ExecutionRequest) for f in fields(owner)}
    assert known - set(names) == {"device", "execution"}


def test_help_lists_every_option_of_a_setting() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qhybrid", "train", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    options = dict(option_keys())
    assert len(options) == 19
    for field in options.values():
        assert f"{field.flag} " in done.stdout


def test_a_process_with_one_sampler_and_no_length_of_its_own_takes_the_usual_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = replace(EPSILON, sampler="ddpm")
    row = replace(MODELS["unet"], name="only-ddpm", process=process)
    monkeypatch.setitem(MODELS._loaded, row.name, row)
    config = parse_config({"model": {"name": "only-ddpm"}})
    assert (config.sampling.sampler, config.sampling.steps) == ("ddpm", ScheduleSpec().timesteps)
    listed = parse_config({"model": {"name": "only-ddpm"}, "diffusion": {"betas": [0.1] * 7}})
    assert (listed.diffusion.timesteps, listed.sampling.steps) == (7, 7)
