"""Sampling where every round of circuits is a job: fake devices, which take the same path."""

import json
import os
import signal
from dataclasses import fields, replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from device_requests import FEW, manifest
from rich.console import Console
from service_double import ServiceDouble

from qhybrid.cli.bill import print_bill
from qhybrid.cli.main import main
from qhybrid.cli.sample import _ask
from qhybrid.run_folder import Run
from qhybrid.run_lock import locked
from qhybrid.sampling import session
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.outcome import BillDeclined, SamplingInterrupted
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.sampling.sample_run import bill_of, sample_run
from qhybrid_circuits.errors import QpuLimitError, RequestError
from qhybrid_runtime.backends.ibm import IbmBackend
from qhybrid_runtime.hardware.targets import fake_target


@pytest.fixture(scope="module")
def drawn(run: Run, tmp_path_factory: pytest.TempPathFactory) -> SamplingRun:
    return sample_run(run, FEW, out=tmp_path_factory.mktemp("drawn") / "all")


@pytest.fixture(scope="module")
def started(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("started") / "run"
    with pytest.raises(QpuLimitError):
        sample_run(run, replace(FEW, max_qpu_seconds=0.0), out=folder)
    return folder


def images(sampling: SamplingRun) -> np.ndarray:
    with np.load(sampling.images_file) as arrays:
        return np.asarray(arrays["images"])


def test_a_step_is_four_rounds_of_one_job(drawn: SamplingRun) -> None:
    told = manifest(drawn)
    assert (told["backend"], told["qpu"], told["mode"]) == ("fake_nighthawk",) * 2 + ("job",)
    assert (told["shots"], told["primitive"], told["hardware_steps"]) == (64, "estimator", 2)
    assert (told["rounds"], told["jobs"]) == (8, 8)
    assert len(list(drawn.jobs_folder.glob("round-*.json"))) == 8
    assert images(drawn).shape == (2, 8, 8, 1)


def test_the_bill_is_what_is_then_billed(run: Run, drawn: SamplingRun) -> None:
    before = sorted(path for path in run.folder.rglob("*"))
    bill = bill_of(run, FEW)
    assert (bill.rounds_per_step, bill.circuits_per_step, bill.steps) == (4, 4, 2)
    assert (bill.rounds, bill.bill.jobs, bill.bill.pubs) == (8, 8, 8)
    assert bill.bill.qpu_seconds == pytest.approx(manifest(drawn)["qpu_seconds"], abs=1e-3)
    # Twelve outputs are twelve PUBs in the stock class.
    assert bill.stock.pubs == 12 * bill.bill.pubs
    assert bill.stock.qpu_seconds > bill.bill.qpu_seconds
    assert sorted(path for path in run.folder.rglob("*")) == before


def test_packing_saves_executions(run: Run) -> None:
    packed = bill_of(run, replace(FEW, execution=ExecutionRequest(shots=64, pack=2)))
    assert packed.bill.executions < packed.unpacked.executions
    assert packed.unpacked == bill_of(run, FEW).bill
    assert packed.bill.success_probability < packed.unpacked.success_probability


def test_a_device_takes_few_steps_unless_told_otherwise(run: Run) -> None:
    assert bill_of(run, replace(FEW, steps=None)).steps == 10


def test_an_interrupted_run_goes_on_without_paying_twice(
    run: Run, drawn: SamplingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qhybrid_runtime.hardware.local_client import LocalClient

    submit, submitted = LocalClient.submit, []

    def interrupted(self, *arguments):
        submitted.append(1)
        if len(submitted) == 4:
            raise KeyboardInterrupt
        return submit(self, *arguments)

    monkeypatch.setattr(LocalClient, "submit", interrupted)
    folder = tmp_path / "stopped"
    with pytest.raises(SamplingInterrupted, match=f"--resume --out {folder}"):
        sample_run(run, FEW, out=folder)
    assert not (folder / "manifest.json").exists()
    again = sample_run(run, out=folder, resume=True)
    assert len(submitted) == 9  # eight rounds, and the one that was interrupted
    assert manifest(again)["jobs"] == 8
    with pytest.raises(RequestError, match="is finished"):
        sample_run(run, out=folder, resume=True)
    np.testing.assert_array_equal(images(again), images(drawn))


def test_a_limit_stops_the_run_and_another_lets_it_go_on(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "limited"
    with pytest.raises(QpuLimitError, match="--max-qpu-seconds") as stopped:
        sample_run(run, replace(FEW, max_qpu_seconds=5.0), out=folder)
    assert f"--resume --out {folder}" in str(stopped.value)
    done = sample_run(run, SamplingRequest(max_qpu_seconds=1000.0), out=folder, resume=True)
    assert manifest(done)["jobs"] == 8


def test_a_resumed_run_keeps_its_options(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "limited"
    with pytest.raises(QpuLimitError):
        sample_run(run, replace(FEW, max_qpu_seconds=0.0), out=folder)
    with pytest.raises(RequestError, match="--num-images 3 does not fit"):
        sample_run(run, SamplingRequest(num_images=3), out=folder, resume=True)
    with pytest.raises(RequestError, match="--shots 32 does not fit"):
        sample_run(
            run,
            SamplingRequest(execution=ExecutionRequest(shots=32)),
            out=folder,
            resume=True,
        )


@pytest.mark.parametrize(
    "asked",
    [
        {"num_images": 64},
        {"batch_size": 128},
        {"seed": 5},
        {"steps": 10},
        {"sampler": "ddpm"},
        {"backend": "fake_fez"},
        {"noise_source": "quantum"},
        {"noise_pool": 10},
        {"hardware_steps": 1},
        {"shots": 1024},
        {"primitive": "sampler"},
        {"resilience_level": 0},
        {"dynamical_decoupling": True},
        {"twirling": False},
        {"pack": "auto"},
        {"fractional": True},
        {"mode": "job"},
    ],
    ids=str,
)
def test_what_a_resumed_run_cannot_become_is_refused_whatever_the_default(
    run: Run, started: Path, asked: dict[str, Any]
) -> None:
    names = {field.name for field in fields(ExecutionRequest)}
    how = ExecutionRequest(**{name: asked[name] for name in asked.keys() & names})
    what = {name: asked[name] for name in asked.keys() - names}
    (name,) = asked
    with pytest.raises(RequestError, match=f"--{name.replace('_', '-')} .* does not fit"):
        sample_run(run, SamplingRequest(**what, execution=how), out=started, resume=True)


def test_what_a_resumed_run_is_anyway_may_be_said_again(run: Run, started: Path) -> None:
    again = ExecutionRequest(shots=64, primitive="estimator", resilience_level=1, pack=1)
    same = replace(FEW, num_images=2, seed=0, batch_size=256, execution=again)
    with pytest.raises(QpuLimitError):
        sample_run(run, replace(same, max_qpu_seconds=1.0), out=started, resume=True)


def test_the_command_line_tells_64_from_nothing(
    run: Run, started: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sample", str(run.folder), "--resume", "--out", str(started)]
    assert main([*command, "--num-images", "64"]) == 2
    assert "--num-images 64 does not fit the sampling run" in capsys.readouterr().err
    assert main([*command, "--max-qpu-seconds", "1"]) == 3


def test_only_the_last_steps_may_run_on_the_device(run: Run, tmp_path: Path) -> None:
    result = sample_run(run, replace(FEW, hardware_steps=1), out=tmp_path / "last")
    assert (manifest(result)["rounds"], manifest(result)["hardware_steps"]) == (4, 1)
    exact = sample_run(run, replace(FEW, backend="statevector", execution=ExecutionRequest()))
    assert np.abs(images(result).astype(float) - images(exact)).mean() < 10


def test_much_is_not_spent_without_a_word(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = session._device_backend

    def paid(*arguments):
        backend = opened(*arguments)
        backend.qpu = replace(backend.qpu, simulated=False)
        return backend

    monkeypatch.setattr(session, "_device_backend", paid)
    monkeypatch.setattr(session, "FREE_SECONDS", 1.0)
    asked = []
    with pytest.raises(BillDeclined, match="nothing was submitted"):
        sample_run(run, FEW, out=tmp_path / "no", confirm=lambda bill: asked.append(bill) is True)
    assert asked[0].bill.qpu_seconds > 1
    assert not os.path.exists(tmp_path / "no")
    with pytest.raises(BillDeclined):
        sample_run(run, FEW, out=tmp_path / "no")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            SamplingRequest(backend="aer", execution=ExecutionRequest(shots=10)),
            "--shots does not apply to the backend 'aer'",
        ),
        (
            SamplingRequest(backend="aer:fake_fez", execution=ExecutionRequest(pack="auto")),
            "--pack does not apply",
        ),
        (
            SamplingRequest(backend="fake_fez", execution=ExecutionRequest(mode="session")),
            "--mode does not apply to the backend 'fake_fez'",
        ),
        (SamplingRequest(hardware_steps=1), "--hardware-steps does not apply"),
        (replace(FEW, hardware_steps=3), "--hardware-steps must be 1 to the 2 steps"),
        (SamplingRequest(backend="ibm_brisbane"), "retired"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, request_: SamplingRequest, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        sample_run(run, request_)


def test_the_command_line_prints_the_bill(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    device = ["--backend", "fake_nighthawk", "--num-images", "2", "--steps", "2"]
    assert main(["sample", str(run.folder), *device, "--shots", "64", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "4 rounds and 4" in printed
    assert "stock classes" in printed
    assert main(["sample", str(run.folder), *device, "--max-qpu-seconds", "0"]) == 3
    assert capsys.readouterr().err.startswith("stopped: ")
    assert main(["sample", str(run.folder), "--dry-run"]) == 2
    assert "--dry-run is for devices" in capsys.readouterr().err
    assert main(["sample", str(run.folder), *device, "--pack", "0"]) == 2
    assert "--pack must be auto or a whole number from 1" in capsys.readouterr().err
    few = ["--backend", "fake_guadalupe", "--num-images", "2", "--steps", "2", "--pack", "2"]
    for also in ([], ["--dry-run"]):
        assert main(["sample", str(run.folder), *few, *also]) == 2
        assert "room for 1 x a circuit of 12 qubits; use pack 1, or auto" in capsys.readouterr().err
    assert not (run.folder / "samplings").exists() or not any(
        "guadalupe" in path.read_text() for path in run.folder.glob("samplings/*/plan.json")
    )


def test_a_damaged_record_of_jobs_is_a_wrong_request(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "stopped"
    with pytest.raises(QpuLimitError):
        sample_run(run, replace(FEW, max_qpu_seconds=5.0), out=folder)
    (damaged, *_) = sorted((folder / "jobs").glob("round-*.json"))
    damaged.write_text("{")
    assert main(["sample", str(run.folder), "--out", str(folder), "--resume"]) == 2
    error = capsys.readouterr().err
    assert str(damaged) in error
    assert "move it away" in error
    assert error.count("\n") == 1


def test_two_processes_do_not_share_a_folder(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    with pytest.raises(QpuLimitError):
        sample_run(run, replace(FEW, max_qpu_seconds=0.0), out=folder)
    with (
        locked(folder),
        pytest.raises(RequestError, match=r"process (\d+, begun at .*, )?is sampling into"),
    ):
        sample_run(run, out=folder, resume=True)


def test_a_damaged_plan_is_named(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    with pytest.raises(QpuLimitError):
        sample_run(run, replace(FEW, max_qpu_seconds=0.0), out=folder)
    plan = json.loads((folder / "plan.json").read_text())
    for damaged in ("{", json.dumps({**plan, "num_images": "two"}), json.dumps({**plan, "x": 1})):
        (folder / "plan.json").write_text(damaged)
        with pytest.raises(RequestError, match=r"plan\.json"):
            sample_run(run, out=folder, resume=True)


def test_sigterm_closes_the_session_and_says_how_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ServiceDouble("premium", status=[lambda: os.kill(os.getpid(), signal.SIGTERM)])
    service.device.target = fake_target("fake_nighthawk")
    nothing = SimpleNamespace(result=lambda: None)
    monkeypatch.setattr("service_double.run_primitive", lambda *_, **__: nothing)

    def device(_: object, sampling: SamplingRun) -> IbmBackend:
        ledger, options = sampling.jobs_folder, service.client_options
        return IbmBackend("ibm_double", service=service, client_options=options, ledger=ledger)

    monkeypatch.setattr(session, "_device_backend", device)
    usual = signal.getsignal(signal.SIGTERM)
    folder = tmp_path / "stopped"
    with pytest.raises(SamplingInterrupted, match=f"--resume --out {folder}"):
        sample_run(run, FEW, out=folder)
    assert [mode.open for mode in service.modes] == [False]
    assert len(service.executed) == 1
    assert f'"{service.executed[0].name}"' in next((folder / "jobs").glob("*.json")).read_text()
    assert signal.getsignal(signal.SIGTERM) is usual


def test_impossible_values_on_record_are_a_wrong_request(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "stopped"
    with pytest.raises(QpuLimitError):
        sample_run(run, replace(FEW, max_qpu_seconds=5.0), out=folder)
    damaged = next(
        path for path in (folder / "jobs").iterdir() if '"values": [[' in path.read_text()
    )
    content = json.loads(damaged.read_text())
    content["jobs"][0]["values"][0][0][0] = 9.0
    # With its hash, and as an earlier version would have written it.
    for sha256 in (content["jobs"][0]["sha256"], None):
        content["jobs"][0]["sha256"] = sha256
        damaged.write_text(json.dumps(content))
        assert main(["sample", str(run.folder), "--out", str(folder), "--resume"]) == 2
        error = capsys.readouterr().err
        assert str(damaged) in error
        assert "move it away" in error


def test_a_plan_with_nothing_left_has_a_bill(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bill = bill_of(run, FEW)
    bill = replace(bill, qpu=replace(bill.qpu, left_seconds=0.0, simulated=False))
    shown = StringIO()
    print_bill(bill, Console(file=shown, width=120))
    assert "none left" in shown.getvalue()
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("typer.confirm", asked.append)
    _ask(bill)
    assert asked == ["Spend about 16 QPU seconds, though the plan has none left?"]
