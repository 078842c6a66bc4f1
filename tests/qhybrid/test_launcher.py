"""What launchers say in the environment, and requests that several processes cannot fulfil."""

import os
from pathlib import Path

import pytest

from qhybrid.cli.main import main
from qhybrid.launcher import Layout, is_quiet, launched, layout
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "5",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4",
}
SRUN = {
    "SLURM_JOB_ID": "7",
    "SLURM_NTASKS": "8",
    "SLURM_NNODES": "2",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_SIZE": "8",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
}
INTEL_MPI = {"PMI_RANK": "5", "PMI_SIZE": "8", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "4"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*TORCHRUN, *SRUN, *OPEN_MPI, *INTEL_MPI, "NODE_RANK", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)


def say(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], **other: str) -> None:
    for name, value in {**given, **other}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("given", "program"),
    [(TORCHRUN, "torchrun"), (SRUN, "srun"), (OPEN_MPI, "mpirun"), (INTEL_MPI, "mpirun")],
)
def test_each_launcher_says_which_process_this_is(
    given: dict[str, str], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, given)
    assert layout(None, None) == layout(4, 2) == Layout(4, 2, program, first=False)
    assert is_quiet()
    found = launched()
    assert found is not None
    assert (found.rank, found.local_rank, found.size) == (5, 1, 8)
    with pytest.raises(RequestError, match=rf"^--devices is 3, but {program} started 4 proc"):
        layout(3, None)
    with pytest.raises(RequestError, match=rf"^--nodes is 1, but {program} started"):
        layout(None, 1)


def test_the_first_process_of_a_second_machine_speaks_but_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    say(monkeypatch, SRUN, SLURM_PROCID="4", SLURM_LOCALID="0")
    assert not is_quiet()
    assert not layout(None, None).first


@pytest.mark.parametrize(
    "given",
    [
        {**SRUN, "SLURM_JOB_NAME": "interactive"},  # a shell in an allocation
        {**SRUN, "SLURM_NTASKS": "1"},
        {**SRUN, "SLURM_NTASKS": "nonsense"},
        {"RANK": "3", "WORLD_SIZE": "4"},  # which any other program may have set
    ],
)
def test_one_process_is_alone(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, given)
    assert launched() is None
    assert layout(None, None) == Layout(1, 1, None, first=True)


def test_machines_must_have_the_same_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, SRUN, SLURM_NTASKS="7")
    with pytest.raises(RequestError, match=r"^srun started 7 processes on 2 machines; "):
        layout(None, None)


HYBRID = ["--model", "1hqconv-qvunet"]
TOO_MANY = str((os.cpu_count() or 1) + 1)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--devices", "0"], "training.devices must be greater than or equal to 1"),
        (["--devices", TOO_MANY, "--device", "cpu"], f"--devices must be 1 to {os.cpu_count()}, "),
        (["--nodes", "2"], "--nodes 2 needs a way to the first machine: "),
        ([*HYBRID, "--backend", "aer:fake_fez", "--devices", "2"], "the backend 'aer:fake_fez'"),
        ([*HYBRID, "--set", "transfer.model=unet", "--devices", "2"], "transfer.model trains"),
        (["--batch-size", "1", "--devices", "2"], "--batch-size 1 is too small for 2 processes"),
        (["--seeds", "2", "--jobs", "2", "--devices", "2"], "--jobs 2 trains runs at a time, but"),
        (["--seeds", "2", "--nodes", "2"], "--seeds starts the processes of each run by itself"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train", "--seeds", "2"], "--seeds starts the processes of each run by itself"),
        (["train", "--devices", "2"], "--devices is 2, but torchrun started 4 processes"),
    ],
)
def test_what_a_launcher_started_is_not_started_again(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    said = []
    for rank in ("0", "1"):
        say(monkeypatch, TORCHRUN, RANK=rank, LOCAL_RANK=rank)
        assert main(arguments) == 2
        said.append(capsys.readouterr().err)
    assert said[0].startswith(f"error: {line}")
    assert said[1] == ""


def test_a_notebook_cannot_be_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qhybrid.settings.sources import load_config

    monkeypatch.setattr("sys.ps1", ">>> ", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    config = load_config(overrides={"training.devices": 2, "training.device": "cpu"})
    with pytest.raises(RequestError, match="begin the program again"):
        train(config, out=tmp_path / "run")
