from importlib.metadata import version
from pathlib import Path

import pytest

import qhybrid
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.settings.config import Config
from qhybrid.settings.recipes import recipe_names
from qhybrid.settings.sources import (
    config_keys,
    load_config,
    parse_assignments,
    save_config,
)
from qhybrid_circuits.errors import RequestError, UnknownNameError


def test_a_saved_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = load_config(
        overrides={
            "model.name": "unet",
            "data.classes": "0,1",
            "training.max_steps": 7,
            "training.betas": [0.8, 0.95],
        }
    )
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config
    assert config.data.classes == ("0", "1")
    assert list(tmp_path.iterdir()) == [tmp_path / "config.toml"]


def test_the_paper_configuration_holds_the_published_settings() -> None:
    config = load_config("paper")
    training, ema, diffusion = config.training, config.ema, config.diffusion
    assert config.data.dataset == "mnist"
    assert (training.batch_size, training.epochs, training.learning_rate) == (128, 20, 1e-3)
    assert (training.betas, training.eps) == ((0.9, 0.99), 1e-8)
    assert (training.lr_schedule, training.warmup_steps) == ("constant", 0)
    assert training.gradient_clip == 0
    assert (ema.decay, ema.every, ema.start) == (0.995, 10, 100)
    assert ema.power == pytest.approx(2 / 3)
    assert (diffusion.schedule, diffusion.timesteps) == ("cosine", 1000)
    assert (diffusion.p2_k, diffusion.p2_gamma) == (1, 1)


def test_a_schedule_can_be_listed_or_have_ends(tmp_path: Path) -> None:
    listed = {"diffusion.betas": [0.1, 0.2, 0.4], "sampling.steps": 3}
    config = load_config(overrides=listed)
    assert config.diffusion.schedule_spec == ScheduleSpec.of_betas([0.1, 0.2, 0.4])
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config
    ends = {"diffusion.schedule": "scaled_linear", "diffusion.beta_end": 0.3}
    spec = load_config(overrides=ends).diffusion.schedule_spec
    assert spec == ScheduleSpec("scaled_linear", 1000, beta_end=0.3)
    assert spec.ends == (1e-4, 0.3)


def test_the_wide_configuration_holds_the_report_settings() -> None:
    config = load_config("wide")
    training, diffusion = config.training, config.diffusion
    assert (training.batch_size, training.epochs, training.learning_rate) == (64, 20, 1e-4)
    assert (training.lr_schedule, training.warmup_steps, config.ema.decay) == ("constant", 0, 0)
    assert (diffusion.schedule, diffusion.timesteps, diffusion.p2_gamma) == ("linear", 1000, 0)
    assert load_config("wide", {"model.name": "wide-unet"}).model.dim == 32


def test_the_attention_configuration_holds_the_papers_settings() -> None:
    config = load_config("qattention")
    training, diffusion, ema = config.training, config.diffusion, config.ema
    assert (config.model.name, config.model.variant) == ("qattention-unet", "trainable")
    assert (config.data.dataset, config.data.classes) == ("mnist", ("0",))
    assert (training.batch_size, training.epochs, training.learning_rate) == (64, 30, 3e-4)
    assert (training.lr_schedule, training.warmup_steps) == ("constant", 0)
    assert training.gradient_clip == 0
    assert (ema.decay, ema.every, ema.warmup) == (0.999, 1, False)
    assert (diffusion.schedule, diffusion.timesteps, diffusion.p2_gamma) == ("cosine", 1000, 0)
    assert load_config("qattention", {"model.name": "light-unet"}).model.variant == "paper"
    assert load_config("qattention", {"data.classes": "0,1"}).data.classes == ("0", "1")
    assert load_config("qattention", {"model.variant": "published"}).model.variant == "released"
    with pytest.raises(RequestError, match=r"ema\.warmup must be true or false, but is 'maybe'"):
        load_config("qattention", {"ema.warmup": "maybe"})
    with pytest.raises(RequestError, match="'code'; known: trainable, paper, released"):
        load_config("qattention", {"model.variant": "code"})
    with pytest.raises(RequestError, match="'eq5'; known: ho2020, chen2025"):
        load_config("qattention", {"model.frequencies": "eq5"})
    with pytest.raises(RequestError, match=r"setting of light-unet, qattention-unet.*, but the"):
        load_config("paper", {"model.frequencies": "chen2025"})


def test_a_model_has_its_own_size_unless_told_otherwise() -> None:
    for name, dim, layers in (("unet", 10, 3), ("fqconv-wide-unet-control", 32, 1)):
        model = load_config(overrides={"model.name": name}).model
        assert (model.dim, model.ansatz_layers) == (dim, layers)
    told = load_config(overrides={"model.name": "wide-unet", "model.dim": 64})
    assert told.model.dim == 64
    with pytest.raises(RequestError, match="dim of wide-unet must be a multiple of 8, but is 10"):
        load_config(overrides={"model.name": "wide-unet", "model.dim": 10})


@pytest.mark.parametrize("name", recipe_names())
def test_every_built_in_configuration_is_valid(name: str) -> None:
    assert isinstance(load_config(name), Config)


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[training]\nepochs = 3\nseed = 5\n")
    config = load_config(file, {"training.epochs": 4})
    assert (config.training.epochs, config.training.seed) == (4, 5)


def test_assignments_are_toml_where_they_can_be() -> None:
    assert parse_assignments(["a.b=1", "a.c=x-y", "a.d=[1, 2]", "a.e=1e-3", "a.f=k=v"]) == {
        "a.b": 1,
        "a.c": "x-y",
        "a.d": [1, 2],
        "a.e": 1e-3,
        "a.f": "k=v",
    }


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ({"model.name": "1hqcon-qvunet"}, ["1hqcon-qvunet", "did you mean 1hqconv-qvunet"]),
        ({"model.variant": "papers"}, ["papers", "paper, scaled, released"]),
        ({"data.dataset": "digitz"}, ["digitz", "did you mean digits"]),
        ({"data.image_size": 20}, ["20", "8, 16, 28, 32"]),
        ({"quantum.backend": "aerr"}, ["aerr", "did you mean aer"]),
        ({"quantum.gradient": "adjoin"}, ["adjoin", "adjoint"]),
        ({"sampling.sampler": "dddim"}, ["dddim", "did you mean ddim"]),
        ({"diffusion.schedule": "cosin"}, ["cosin", "did you mean cosine"]),
        ({"diffusion.beta_end": 0.1}, ["beta_end", "linear, scaled_linear", "'cosine'"]),
        (
            {"diffusion.schedule": "linear", "diffusion.beta_start": 0.5},
            ["0 < beta_start <= beta_end < 1", "0.5 and 0.02"],
        ),
        ({"diffusion.schedule": "trained_betas"}, ["'trained_betas'", "needs its betas"]),
        ({"diffusion.betas": [0.1, 0.2], "diffusion.schedule": "linear"}, ["'linear'", "given"]),
        (
            {"diffusion.betas": [0.1, 0.2], "diffusion.timesteps": 3},
            ["one a timestep", "there are 2 and timesteps is 3"],
        ),
        (
            {"diffusion.betas": [0.1, 1.0], "sampling.steps": 2},
            ["betas must be in (0, 1)", "timestep 1 is 1.0"],
        ),
        ({"diffusion.betas": [0.1, "much"]}, ["diffusion.betas", "valid number", "'much'"]),
        ({"diffusion.betas": 0.1}, ["diffusion.betas", "list", "0.1"]),
        ({"diffusion.betas": []}, ["diffusion.betas must list at least 2"]),
        ({"diffusion.betas": [0.1]}, ["diffusion.betas must list at least 2"]),
        ({"training.noise_source": "quantm"}, ["quantm", "did you mean quantum", "gaussian"]),
        ({"training.noise_pool": 5}, ["noise_pool", "'quantum'", "--noise-source quantum"]),
        (
            {"training.noise_source": "quantum", "quantum.backend": "ibm_fez"},
            ["'ibm_fez'", "QPU seconds", "training.noise_pool=N", "--noise-source gaussian"],
        ),
        ({"training.lr_schedule": "step"}, ["training.lr_schedule", "step", "'cosine'"]),
        ({"training.epochs": 0}, ["training.epochs", "greater than or equal to 1", "is 0"]),
        ({"training.epochs": "many"}, ["training.epochs", "integer", "'many'"]),
        ({"training.betas": [0.9, 1.0]}, ["training.betas", "less than 1", "1.0"]),
        ({"sampling.steps": 2000}, ["sampling.steps", "2000", "diffusion.timesteps"]),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_is_allowed(
    overrides: dict[str, object], parts: list[str]
) -> None:
    with pytest.raises(RequestError) as caught:
        load_config(overrides=overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert not [part for part in parts if part not in message], message


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("training.epoch", "training.epochs"),
        ("training.learningrate", "training.learning_rate"),
        ("learning_rate", "training.learning_rate"),
        ("modell.name", "model.name"),
        ("model", "model"),
    ],
)
def test_an_unknown_key_names_the_nearest_ones(key: str, nearest: str) -> None:
    with pytest.raises(UnknownNameError, match=f"'{key}'; did you mean .*{nearest}"):
        load_config(overrides={key: 1})


def test_unknown_keys_of_a_file_are_errors_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[training]\nepoch = 3\n")
    with pytest.raises(UnknownNameError, match=r"'training\.epoch'; did you mean training\.epochs"):
        load_config(file)
    file.write_text("[trainin]\nepochs = 3\n")
    with pytest.raises(UnknownNameError, match="'trainin'"):
        load_config(file)
    file.write_text("training = 3\n")
    with pytest.raises(RequestError, match="training must be a table"):
        load_config(file)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no configuration file .*missing\.toml"):
        load_config(tmp_path / "missing.toml")
    with pytest.raises(UnknownNameError, match="did you mean paper"):
        load_config("papr")
    broken = tmp_path / "broken.toml"
    broken.write_text("[training\n")
    with pytest.raises(RequestError, match="not valid TOML"):
        load_config(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestError, match="cannot read"):
        load_config(broken)


def test_an_assignment_without_a_value_is_refused() -> None:
    with pytest.raises(RequestError, match="key=value"):
        parse_assignments(["training.epochs"])


def test_a_path_is_kept_absolute_and_need_not_exist_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(overrides={"data.dataset": "mine/images.npz"})
    assert config.data.dataset == str(tmp_path / "mine" / "images.npz")


def test_keys_are_those_of_the_sections() -> None:
    keys = config_keys()
    assert {"model.name", "training.epochs", "ema.decay", "quantum.backend"} <= set(keys)
    assert len(keys) == len(set(keys))


def test_the_package_exports_at_most_ten_names_and_its_version() -> None:
    names = [name for name in qhybrid.__all__ if name != "__version__"]
    assert len(names) <= 10
    assert qhybrid.__version__ == version("qhybrid")
    assert not [name for name in names if not callable(getattr(qhybrid, name))]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.epochs", True, "training.epochs must not be true or false, but is True"),
        ("training.epochs", 10**20, "training.epochs must be less than or equal to 1000000000"),
        ("training.accumulate", 10**20, "training.accumulate must be less than or equal"),
        ("training.workers", 10**5, "training.workers must be less than or equal to 256"),
        ("training.learning_rate", 1e300, "training.learning_rate must be less than or equal"),
        ("diffusion.timesteps", 10**8, "at most 100000"),
        ("model.dim", 10**8, "2 to 1024"),
        ("training.betas", [0.9], "training.betas must be 2 numbers, e.g. [0.9, 0.99], but is"),
        ("training.betas", 0.9, "training.betas must be 2 numbers, e.g. [0.9, 0.99], but is"),
        ("training.betas", [0.9] * 3, "training.betas must be 2 numbers, e.g. [0.9, 0.99], but is"),
        ("data.classes", {"a": 1}, "data.classes must be a valid list"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(key: str, value: object, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        load_config(overrides={key: value})
    assert said in str(caught.value)


def test_a_line_break_in_an_assignment_starts_no_other_key() -> None:
    given = "3\ntraining.seed = 2"
    assert parse_assignments([f"training.epochs={given}"]) == {"training.epochs": given}
    with pytest.raises(RequestError, match="must be a valid integer"):
        load_config(overrides=parse_assignments([f"training.epochs={given}"]))


def test_a_schedule_by_name_takes_the_place_of_listed_betas() -> None:
    config = load_config("qbottleneck", {"diffusion.schedule": "cosine"})
    assert (config.diffusion.schedule, config.diffusion.betas) == ("cosine", None)
    with pytest.raises(RequestError, match="needs its betas, one a timestep"):
        load_config(None, {"diffusion.schedule": "trained_betas"})
