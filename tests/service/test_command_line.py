"""Commands that go to the service, from the listing to images, as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest

from qhybrid.cli.main import main
from qhybrid.run_folder import Run
from qhybrid_runtime.hardware import service_client
from qhybrid_runtime.loopback.faults import Fault
from qhybrid_runtime.loopback.server import LoopbackService

#: Three denoising steps, a round each.
DEVICE = ["--backend", "ibm_manila", "--num-images", "2", "--steps", "3", "--shots", "32"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qhybrid.diffusion.autoencoder.STEPS", 20)
    monkeypatch.setattr(service_client, "_LONGEST_OUTAGE_SECONDS", 0.1)


def images(folder: Path) -> np.ndarray:
    with np.load(folder / "images.npz") as arrays:
        return np.asarray(arrays["images"])


def posted(service: LoopbackService) -> int:
    return sum(r.method == "POST" and r.path.endswith("/jobs") for r in service.requests)


def test_listings_and_reports_read_the_devices(
    service: LoopbackService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    assert main(["backends", "--format", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ibm_manila"]["usable"]
    assert rows["ibm_manila"]["note"] == (
        "plan open: no sessions, 480 s of QPU time left; 3 jobs waiting"
    )
    assert len(service.requests) <= 11
    target = ["--target", "ibm_manila", "--no-health", "--format", "json"]
    assert main(["report", "reupload", *target, "--set", "qubits=3"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    assert report["target"] == "ibm_manila"
    assert 0 < report["success_probability"] < 1
    assert main(["report", "reupload", "--target", "ibm_manla", "--no-health"]) == 2
    assert "no device 'ibm_manla'; it offers ibm_manila" in capsys.readouterr().err
    assert posted(service) == 0


def test_images_are_the_same_whatever_happens_and_nothing_is_paid_twice(
    run: Run, service: LoopbackService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that is stopped at each round, by each kind of stop, and goes on."""
    command = ["sample", str(run.folder), *DEVICE]
    assert main([*command, "--dry-run"]) == 0
    assert posted(service) == 0
    whole = tmp_path / "whole"
    assert main([*command, "--out", str(whole)]) == 0
    assert len(service.account.jobs) == 3
    told = json.loads((whole / "manifest.json").read_text())
    assert (told["jobs"], told["mode"], told["qpu"]) == (3, "job", "ibm_manila")
    assert told["qpu_seconds"] == pytest.approx(service.account.paid_seconds, abs=1e-3)
    # To open the device, and at most six a round beside polls.
    polls = [r for r in service.requests if "/jobs/d" in r.path and r.path.count("/") == 5]
    assert len(service.requests) - len(polls) <= 20 + 3 * 6

    stops = [
        Fault("reset", "/jobs$", "POST", after=True),
        Fault("reset", "/results$"),
        Fault(403, "/jobs$", "POST"),
    ]
    for number, stop in enumerate(stops):
        folder = tmp_path / f"stopped-{number}"
        going_on = command = ["sample", str(run.folder), *DEVICE, "--out", str(folder)]
        before = len(service.account.jobs)
        for rounds in range(3):
            # Let the round that was stopped go on, then stop the next one.
            service.faults.set([Fault(stop.do, stop.path, stop.method, 999, min(1, rounds))])
            capsys.readouterr()
            assert main(going_on) == 1, stop
            said = capsys.readouterr().err.splitlines()[-1]
            going_on = ["sample", str(run.folder), "--resume", "--out", str(folder)]
            assert said.startswith("error: cannot ")
            assert "finished rounds are on record; go on with: qhybrid sample" in said
            assert f"--resume --out {folder}" in said
        service.faults.set([])
        assert main(going_on) == 0
        np.testing.assert_array_equal(images(folder), images(whole))
        assert len(service.account.jobs) == before + 3, stop


def test_a_wrong_token_and_what_the_account_lacks_are_refused_first(
    run: Run,
    service: LoopbackService,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ["sample", str(run.folder), *DEVICE]
    for more, said in (
        (["--mode", "session"], "the plan 'open' may not open sessions"),
        (["--fractional"], "the device 'ibm_manila' has no fractional gates"),
        (["--fractional", "--twirling"], "do not go together"),
    ):
        assert main([*command, *more]) == 2
        assert said in capsys.readouterr().err
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "another")
    from qhybrid_runtime.hardware.accounts import open_service

    open_service.cache_clear()
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot open the IBM Quantum account")
    assert error.count("\n") == 1
    assert posted(service) == 0


def test_training_takes_its_values_from_the_device(
    service: LoopbackService, small: dict[str, object], tmp_path: Path
) -> None:
    settings = [f"--set={name}={value}" for name, value in small.items()]
    out = ["--out", str(tmp_path / "trained")]
    assert main(["train", *settings, "--backend", "ibm_manila", *out]) == 0
    assert len(service.account.jobs) >= 1
    assert all(job.status == "Completed" for job in service.account.jobs)


def test_quantum_noise_is_measured_by_the_service(
    run: Run, service: LoopbackService, tmp_path: Path
) -> None:
    noise = ["--noise-source", "quantum", "--noise-pool", "500"]
    folder = tmp_path / "noise"
    assert main(["sample", str(run.folder), *DEVICE, *noise, "--out", str(folder)]) == 0
    told = json.loads((folder / "manifest.json").read_text())
    assert (told["noise_backend"], told["noise_pool"]) == ("ibm_manila", 500)
    assert len(service.account.jobs) >= 4
