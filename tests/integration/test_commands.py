"""The commands of the pages are run, one after another, with fewer steps on fewer images."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from qhybrid.cli.main import main
from tests.integration.pages import PAGES, commands
from tests.selection import thorough

SHORT = ("README", "get-started", "noise", "sharing")
LONG = ("evaluation", "first-results", "hardware", "influence", "models")

RUN = "runs/1hqconv-qvunet-digits-1"

SMALL = {"training.max_steps": 1, "training.batch_size": 4, "data.limit": 8, "sampling.steps": 1}
SMALL |= {"sampling.num_images": 1, "training.device": "cpu", "model.ansatz_layers": 1}
"""Of a training."""

MOST = {"--num-images": 2, "--steps": 1, "--shots": 8, "--processes": 1, "--epoch": 1}
"""Of what an option asks for."""

ACCOUNTS = {"ibm", "serve-fake", "wandb", "mobilenet"}
"""Of commands that need an account, another process, or weights from elsewhere."""

TOO_LONG = {
    "bound",
    "capece-transfer",
    "defalco2024-transfer-fashion",
    "defalco2024-transfer-mnist",
    "--noise-aware",
    "images.npz",
    "runs/classical",
    "3",
}
"""Of commands that take long with one step, too: other tests have these parts."""

OTHERS = {"--shard", "--merge", "--resume", "model.ansatz=my_module:my_function", "fez", "qreverse"}
"""Of commands that need more images than are drawn here, or what was not told of."""


def with_value(words: list[str], option: str, value: object) -> list[str]:
    """Return a command with an option's value replaced; it is added where it was not given."""
    if option not in words:
        return [*words, option, str(value)]
    place = words.index(option) + 1
    return [*words[:place], str(value), *words[place + 1 :]]


def smaller(words: list[str]) -> list[str]:
    """Return a command that does the same with less."""
    name = words[0]
    names = {"mnist": "mnist.npz", "RUN": RUN, "model.variant=NAME": "model.variant=paper"}
    words = [names.get(word, word) for word in words]
    for option, most in MOST.items():
        if option in words and "best" not in words:
            words = with_value(words, option, most)
    if name == "train":
        return trained_shortly(words)
    if name == "evaluate":
        return with_value(words, "--num-images", 100)
    if name in ("sample", "bound") and "--num-images" not in words:
        return [*words, "--num-images", "2"]
    return words


def trained_shortly(words: list[str]) -> list[str]:
    settings = dict(SMALL)
    if "--model" in words or "--config" in words:
        del settings["model.ansatz_layers"]  # Of which other models may need more.
    if "--config" in words and "--dataset" not in words:
        words = [*words, "--dataset", "mnist.npz"]
    if any("qbottleneck" in word or "states:" in word for word in words):
        del settings["sampling.steps"]  # All that there are.
    for key, value in settings.items():
        if not any(word.startswith(f"{key}=") for word in words) or key == "training.max_steps":
            words = [*words, "--set", f"{key}={value}"]
    return words


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and with a run whose weights of the first epoch are kept."""
    folder, rng = tmp_path_factory.mktemp("commands"), np.random.default_rng(0)
    labels, pixels = np.arange(128) % 10, rng.integers(0, 256, (128, 28, 28), dtype=np.uint8)
    arrays = {
        f"{split}_{what}": x
        for split in ("train", "test")
        for what, x in (("images", pixels), ("labels", labels))
    }
    for name in ("mnist", "mnist10k"):
        np.savez(folder / f"{name}.npz", **arrays)
    kept = ["--evaluate-every", "1", "--keep-epochs", "1", "--set", "model.ansatz_layers=1"]
    assert main(trained_shortly(["train", *kept, "--out", str(folder / RUN)])) == 0
    drawn = str(folder / RUN / "samplings/ddim-1")
    assert main(["sample", str(folder / RUN), "--num-images", "100", "--out", drawn]) == 0
    return folder


@pytest.mark.parametrize("name", [*SHORT, *thorough(LONG)])
def test_commands_run(
    name: str,
    started: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(started, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("qhybrid.diffusion.autoencoder.STEPS", 2)
    count = 0
    (page,) = (page for page in PAGES if page.stem == name)
    for program, *words in commands(page):
        known = {"ibm" if word.startswith("ibm_") else word for word in words}
        if program.endswith("qhybrid") and not known & (ACCOUNTS | TOO_LONG | OTHERS):
            assert main(smaller(words)) == 0, (words, capsys.readouterr().err)
            count += 1
    assert count
