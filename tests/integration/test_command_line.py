import csv
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qhybrid.cli import main

TINY = ["--classes", "0,1", "--device", "cpu", "--set", "training.log_every=1"]
TINY += ["--set", "sampling.steps=2", "--set", "sampling.num_images=4"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def losses(folder: str) -> list[float]:
    with Path(folder, "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_train_twice_then_resume_and_sample(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--model", "unet", *TINY, "--set", "training.max_steps=2"]
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert losses("runs/unet-digits-1") == losses("runs/unet-digits-2")
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "qhybrid sample runs/unet-digits-2" in printed.out
    assert "epoch  1/20  step 2" in printed.out
    assert main(["train", "--resume", "--set", "training.max_steps=4"]) == 0
    assert len(losses("runs/unet-digits-2")) == 4
    assert main(["sample", "runs/unet-digits-2", "--num-images", "3", "--steps", "2"]) == 0
    with np.load("runs/unet-digits-2/samplings/ddim-1/images.npz") as arrays:
        assert arrays["images"].shape == (3, 8, 8, 1)


def test_an_existing_run_and_contradicting_flags_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["train", "--model", "unet", *TINY, "--out", "mine"]
    assert main([*arguments, "--set", "training.max_steps=1"]) == 0
    capsys.readouterr()
    assert main(arguments) == 2
    assert (
        "holds a run already; continue it with `qhybrid train --resume --out "
        in capsys.readouterr().err
    )
    assert main(["train", "--resume", "--out", "mine", "--model", "1hqconv-qvunet"]) == 2
    assert "model.name is unet" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", "mine", "--set", "training.betas=[0.5,0.9]"]) == 2
    assert "training.betas is 0.9,0.99" in capsys.readouterr().err


def test_a_class_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--model", "unet", "--classes", "0,12"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown class '12'")
    assert not Path("runs").exists()


@pytest.mark.parametrize("content", [b"not an npz", b""])
def test_a_corrupt_npz_is_refused(content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.npz").write_bytes(content)
    assert main(["train", "--model", "unet", "--dataset", "bad.npz"]) == 2
    printed = capsys.readouterr().err
    assert "bad.npz" in printed
    assert printed.count("\n") == 1
    assert not Path("runs").exists()


def test_a_file_of_images_names_the_run(rng_images: Path) -> None:
    arguments = ["train", "--model", "unet", "--dataset", str(rng_images), "--device", "cpu"]
    tiny = ["--set", "training.max_steps=1", "--set", "sampling.steps=1"]
    assert main([*arguments, *tiny]) == 0
    assert Path("runs/unet-my-images-1/model.safetensors").is_file()


@pytest.fixture
def rng_images(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    path = tmp_path / "my images.npz"
    arrays = {}
    for split, size in (("train", 20), ("test", 5)):
        arrays[f"{split}_images"] = generator.integers(0, 256, (size, 8, 8), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(size) % 2).astype(np.uint8)
    np.savez(path, **arrays)
    return path


@pytest.mark.thorough  # `test_backends_are_compared` draws on both, too
def test_the_backends_agree_on_a_quantum_run() -> None:
    arguments = ["train", *TINY, "--set", "training.max_steps=3", "--batch-size", "16"]
    assert main([*arguments, "--backend", "aer", "--out", "a"]) == 0
    assert main([*arguments, "--backend", "statevector", "--out", "b"]) == 0
    assert losses("a") == pytest.approx(losses("b"), rel=1e-3)
    assert main(["sample", "a", "--num-images", "2", "--steps", "2", "--backend", "aer"]) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_ctrl_c_saves_and_says_the_command_that_resumes() -> None:
    command = [sys.executable, "-m", "qhybrid", "train", "--model", "unet", *TINY]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    metrics = Path("runs/unet-digits-1/metrics.csv")
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.read_text().count("\n") > 1):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed.count("\n") == 1
    resume = shlex.split(printed.partition("resume with: qhybrid ")[2])
    done = len(losses("runs/unet-digits-1"))
    assert f"saved at step {done};" in printed
    assert main([*resume, "--set", f"training.max_steps={done + 1}"]) == 0
    assert len(losses("runs/unet-digits-1")) == done + 1
