"""Commands that go to the service, from the listing to images, as a user types them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm3
from safetensors.numpy import load_file

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


def test_listings_say_that_the_service_does_not_answer(
    service: LoopbackService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults.set([Fault("reset", times=999)])
    assert main(["backends", "--format", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert not rows["ibm"]["usable"]
    assert "no answer from 127.0.0.1; check the network" in rows["ibm"]["note"]


def test_images_are_the_same_whatever_happens_and_nothing_is_paid_twice(
    run: Run, service: LoopbackService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that is stopped at each round, by each kind of stop, and goes on."""
    command = ["sample", str(run.folder), *DEVICE]
    # The service's own estimate is beside ours: here it follows the same rule.
    assert main([*command, "--dry-run"]) == 0
    bill = {line.split("  ")[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert bill["as asked"][6] == bill["by the service"][4]
    assert {job.mock for job in service.account.jobs} == {True}
    assert service.account.paid_seconds == 0
    service.faults.set([Fault(403, "/jobs$", "POST", times=999)])
    assert main([*command, "--dry-run"]) == 0
    assert "the service gives no estimate of its own: cannot ask" in capsys.readouterr().out
    service.faults.set([])
    service.account.jobs.clear()
    service.requests.clear()
    whole = tmp_path / "whole"
    assert main([*command, "--out", str(whole)]) == 0
    assert len(service.account.jobs) == 3
    told = json.loads((whole / "manifest.json").read_text())
    assert (told["jobs"], told["mode"], told["qpu"]) == (3, "job", "ibm_manila")
    assert told["qpu_seconds"] == pytest.approx(service.account.paid_seconds, abs=1e-3)
    assert told["estimated_qpu_seconds"] == pytest.approx(told["qpu_seconds"], abs=1e-3)
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


def test_training_is_on_record_and_noise_is_a_job_of_it(
    service: LoopbackService,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    small_options: list[str],
) -> None:
    """Stopped after each of its jobs, a run ends with the weights of another, and pays once."""
    settings = [*small_options, "--backend=ibm_manila", "--noise-source=quantum"]
    settings += ["--gradient=adjoint", "--set=training.max_steps=2"]
    command = ["train", *settings, "--set=training.noise_pool=3000"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    count = len(service.account.jobs)
    assert count >= 3
    charged = service.account.paid_seconds
    part = tmp_path / "part"
    going_on = [*command, "--out", str(part)]
    for number in range(count):
        # The answer to the next job is lost, and nobody can be asked after it.
        lost = Fault("reset", "/results$", times=999, skip=min(1, number))
        service.faults.set([lost])
        capsys.readouterr()
        assert main(going_on) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert "on record; go on with: qhybrid train --resume --out" in said, said
        assert not (part / "model.safetensors").exists()
        assert len(service.account.jobs) == count + number + 1
        going_on = ["train", "--resume", "--out", str(part)]
    service.faults.set([])
    assert main(going_on) == 0
    assert len(service.account.jobs) == 2 * count
    assert service.account.paid_seconds == pytest.approx(2 * charged)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "part"))
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_the_service_estimates_any_circuits_by_dry_runs(
    service: LoopbackService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    (tmp_path / "bell.qasm").write_text(qasm3.dumps(bell))
    command = ["bill", str(tmp_path / "bell.qasm"), "--backend", "ibm_manila", "--shots", "100"]
    assert main(command) == 0
    said = capsys.readouterr().out
    (asked,) = service.account.jobs
    assert (asked.mock, service.account.paid_seconds) == (True, 0.0)
    assert f"own estimate: {asked.estimated_seconds:.1f} QPU seconds" in said
    assert f"about {asked.estimated_seconds:.1f} QPU seconds" in said


def test_training_asks_before_much_is_paid(
    service: LoopbackService,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    small_options: list[str],
) -> None:
    command = ["train", *small_options, "--backend=ibm_manila", "--noise-source=quantum:ghz"]
    out = ["--set=training.noise_pool=10000000", "--out", str(tmp_path / "run")]
    assert main([*command, *out]) == 3
    said = capsys.readouterr().err
    assert "10,000,000 numbers of noise on ibm_manila were not agreed to; nothing was" in said
    assert "--yes" in said
    assert main([*command, *out, "--yes", "--max-qpu-seconds", "9"]) == 3
    assert "the limit of 9 QPU seconds: 10,000,000 numbers" in capsys.readouterr().err
    assert main(["train", *small_options, "--max-qpu-seconds", "9"]) == 2
    assert "--max-qpu-seconds does not apply to the backend 'statevector'" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()
    assert service.account.jobs == []


def test_training_takes_its_values_from_the_device(
    service: LoopbackService,
    small: dict[str, object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = [f"--set={name}={value}" for name, value in small.items()]
    out = ["--out", str(tmp_path / "trained")]
    assert main(["train", *settings, "--backend", "ibm_manila", *out]) == 0
    assert all(job.status == "Completed" for job in service.account.jobs)
    # The bill was told before: the jobs of values and those of gradients.
    told = re.search(r"ibm_manila \(.*\): (\d+) steps? of (\d+) jobs?, ", capsys.readouterr().out)
    assert told is not None
    assert len(service.account.jobs) == int(told[1]) * int(told[2]) >= 1


def test_training_asks_before_its_rounds_are_paid(
    service: LoopbackService,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    small_options: list[str],
) -> None:
    many = ["--set=training.max_steps=1000", "--out", str(tmp_path / "run")]
    assert main(["train", *small_options, "--backend=ibm_manila", *many]) == 3
    said = capsys.readouterr().err
    assert "QPU seconds for 1,000 training steps on ibm_manila were not agreed to; nothing" in said
    assert "--max-qpu-seconds N" in said
    assert service.account.jobs == []
    assert not (tmp_path / "run").exists()


def test_quantum_noise_is_measured_by_the_service(
    run: Run, service: LoopbackService, tmp_path: Path
) -> None:
    noise = ["--noise-source", "quantum", "--noise-pool", "500"]
    folder = tmp_path / "noise"
    assert main(["sample", str(run.folder), *DEVICE, *noise, "--out", str(folder)]) == 0
    told = json.loads((folder / "manifest.json").read_text())
    assert (told["noise_backend"], told["noise_pool"]) == ("ibm_manila", 500)
    # One job, or two where coins were few, before a round a step.
    assert told["jobs"] == len(service.account.jobs) >= 4
    assert told["qpu_seconds"] == pytest.approx(service.account.paid_seconds, abs=1e-3)
    # Stopped before its result is there, the pool is fetched by the job's id.
    again, before = tmp_path / "again", len(service.account.jobs)
    service.faults.set([Fault("reset", "/results$", times=999)])
    assert main(["sample", str(run.folder), *DEVICE, *noise, "--out", str(again)]) == 1
    assert not (again / "noise.npz").exists()
    assert len(service.account.jobs) == before + 1
    service.faults.set([])
    assert main(["sample", str(run.folder), "--resume", "--out", str(again)]) == 0
    assert len(service.account.jobs) == 2 * before
    np.testing.assert_array_equal(images(again), images(folder))


def test_qpus_share_the_rounds_of_a_sampling_run(
    run: Run, serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = serve("fake_manila", "fake_lima")
    names = ["ibm_manila", "ibm_lima"]
    folder = tmp_path / "shared"
    shared = ["--backend", ",".join(names), *DEVICE[2:]]
    assert main(["sample", str(run.folder), *shared, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[:4] for line in shown.splitlines() if line.startswith("- ")] == [
        ["-", name, "3", "3"] for name in names
    ]
    assert main(["sample", str(run.folder), *shared, "--out", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert re.search(rf"on {names[1]}: submitted, \d+ QPU s, round 1 of 3\n", shown)
    assert shown.count("round 3 of 3") >= 2
    told = json.loads((folder / "manifest.json").read_text())
    assert (told["jobs"], told["mode"], told["qpu"]) == (6, "batch", ",".join(names))
    paid = {
        name: sum(j.paid_seconds for j in service.account.jobs if j.content["backend"] == name)
        for name in names
    }
    for name in names:
        share = told["qpus"][name]
        assert share["jobs"] == 3
        assert share["qpu_seconds"] == pytest.approx(paid[name], abs=1e-3)
        assert share["estimated_qpu_seconds"] == pytest.approx(paid[name], rel=0.1)
        assert 0 < share["success_probability"] < 1
    target = ["--target", ",".join(names), "--no-health"]
    assert main(["report", str(run.folder), *target]) == 2
    assert "give --target for each" in capsys.readouterr().err
