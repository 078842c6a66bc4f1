"""Wrong requests get the lines and exit codes that they got at commit 0f7bebd."""

import json
from pathlib import Path
from typing import Any

import pytest

from qhybrid.cli import main

RECORDED: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("wrong_requests.json").read_text(encoding="utf-8")
)

#: A run of one step that some of the requests are about, and files that others name.
TRAIN = ("train", "--model", "unet", "--set", "model.dim=4", "--set", "training.max_steps=1")
SMALL = ("--set", "sampling.num_images=1", "--set", "sampling.steps=1", "--out", "run")
FILES = {"broken.toml": "[training\n", "images.txt": "", "unfinished/config.toml": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("requests")
    with pytest.MonkeyPatch.context() as patch:
        prepare(folder, patch)
        assert main([*TRAIN, *SMALL]) == 0
    return folder


def prepare(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Work in a folder, without an account."""
    patch.chdir(folder)
    patch.setenv("HOME", str(folder))
    patch.delenv("QISKIT_IBM_TOKEN", raising=False)
    for name, text in FILES.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")


def test_there_are_many() -> None:
    assert len(RECORDED) >= 40


@pytest.mark.parametrize("wrong", RECORDED, ids=lambda wrong: " ".join(wrong["arguments"]))
def test_a_wrong_request_gets_its_line_and_code(
    wrong: dict[str, Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(folder, monkeypatch)
    code = main(wrong["arguments"])
    line = capsys.readouterr().err.replace(str(folder), "FOLDER")
    assert (code, line) == (wrong["code"], wrong["line"])
