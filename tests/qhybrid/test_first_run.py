"""A run of the first version, which commit 0f7bebd made, is still loaded, drawn from and resumed.

It is `train --model unet --classes 0,1 --set model.dim=2 --set training.max_steps=2` with a batch
size of 8, one sample of one step, on the CPU.
"""

import tarfile
from pathlib import Path

import pytest
import torch

from qhybrid.cli.main import main
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run

ARCHIVE = Path(__file__).with_name("first_run.tar.xz")


def test_a_run_of_the_first_version_is_used_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    run, before = Run(tmp_path / "run"), load_model(tmp_path / "run").state_dict()
    assert run.newest_step() == 2
    drawn = tmp_path / "drawn"
    commands = [
        ["sample", str(run.folder), "--num-images", "1", "--steps", "1", "--out", str(drawn)],
        ["report", str(run.folder), "--no-health", "--format", "json"],
        ["train", "--resume", "--out", str(run.folder), "--set", "training.max_steps=3"],
    ]
    for command in commands:
        assert main(command) == 0, capsys.readouterr().err
    assert (drawn / "images.npz").is_file()
    assert run.newest_step() == 3
    after = load_model(run.folder).state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
