"""Nothing reaches for the network unless it is asked to by name."""

import socket
from pathlib import Path
from typing import Any

import pytest

from qhybrid.cli.main import main

TINY = (
    "--classes 0,1 --set data.limit=120 --set training.batch_size=60 --set training.max_steps=2 "
    "--set model.ansatz_layers=1 --set sampling.num_images=2 --set sampling.steps=1 --device cpu"
)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Refuse connections and look-ups of names, and return those that were tried."""
    tried: list[object] = []

    def refuse(*arguments: Any, **_options: Any) -> None:
        tried.append(arguments)
        raise OSError("the network is unreachable")

    connect = socket.socket.connect

    def only_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            refuse(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "gethostbyname", refuse)
    return tried


@pytest.mark.slow
def test_the_whole_job_is_done_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: list[object]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (
        f"train --model 1hqconv-qvunet --out run {TINY}",
        "sample run --num-images 100 --steps 1 --out drawn",
        "sample run --num-images 1 --steps 1 --backend fake_fez --dry-run",
        "evaluate drawn --num-images 100",
        "report run --target fake_fez --format html --out report.html",
        "backends",
        "models",
        "datasets",
        "configs",
    ):
        assert main(command.split()) == 0, command
    assert reached == []


def test_the_fixture_sees_what_is_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: list[object]
) -> None:
    monkeypatch.setenv("QHYBRID_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["train", "--dataset", "fashion_mnist", "--out", str(tmp_path / "run")]) != 0
    assert reached
