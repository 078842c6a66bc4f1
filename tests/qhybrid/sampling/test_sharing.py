"""Drawing by the processes that a launcher started; each test starts two, which takes seconds."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from rank_processes import RankProcesses

from qhybrid.cli.main import main
from qhybrid.run_folder import Run
from qhybrid.sampling.folder import SamplingRun

ARGUMENTS = ("--num-images", "110", "--batch-size", "4", "--steps", "1")


@pytest.fixture(scope="module")
def alone(run: Run, tmp_path_factory: pytest.TempPathFactory) -> SamplingRun:
    out = tmp_path_factory.mktemp("alone") / "images"
    assert main(["sample", str(run.folder), *ARGUMENTS, "--out", str(out)]) == 0
    return SamplingRun(out)


def images(sampling: SamplingRun) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with np.load(sampling.images_file) as file:
        found: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = file["images"]
    return found


def assert_same(one: SamplingRun, other: SamplingRun) -> None:
    assert {path.name for path in one.folder.iterdir()} == {p.name for p in other.folder.iterdir()}
    np.testing.assert_array_equal(images(one), images(other))
    assert one.grid_file.read_bytes() == other.grid_file.read_bytes()
    plans = [{k: v for k, v in each.kept_plan().items() if k != "sha256"} for each in (one, other)]
    assert plans[0] == plans[1]


@pytest.mark.thorough
def test_processes_draw_what_one_draws(run: Run, alone: SamplingRun, tmp_path: Path) -> None:
    arguments = ["sample", str(run.folder), *ARGUMENTS, "--out", str(tmp_path / "images")]
    ranks = RankProcesses(arguments, tmp_path / "said", program="torchrun")
    assert ranks.codes() == [0, 0], ranks.said()
    assert "manifest" in ranks.said()[0]
    assert ranks.said()[1] == ""
    assert_same(alone, SamplingRun(tmp_path / "images"))


@pytest.mark.thorough
def test_a_killed_process_ends_the_other_and_one_process_goes_on(
    run: Run, alone: SamplingRun, tmp_path: Path
) -> None:
    sampling = SamplingRun(tmp_path / "images")
    arguments = ["sample", str(run.folder), *ARGUMENTS, "--out", str(sampling.folder)]
    ranks = RankProcesses(arguments, tmp_path / "said", program="torchrun")
    while not list(sampling.parts_folder.glob("*.safetensors")):
        time.sleep(0.01)  # until both have begun
    os.kill(ranks.processes[1].pid or 0, signal.SIGKILL)
    codes = ranks.codes()
    assert codes == [1, -signal.SIGKILL], ranks.said()
    last = ranks.said()[0].splitlines()[-1]
    assert last.startswith("error: another process")
    assert f"--resume --out {sampling.folder}" in last
    assert main(["sample", str(run.folder), "--resume", "--out", str(sampling.folder)]) == 0
    assert_same(alone, sampling)


def test_processes_evaluate_what_one_evaluates(run: Run, tmp_path: Path) -> None:
    # Two parts: the images that are shown, and 4 more.
    arguments = ["evaluate", str(run.folder), "--num-images", "104", "--steps", "1"]
    ranks = RankProcesses(
        [*arguments, "--out", str(tmp_path / "two")], tmp_path / "said", program="torchrun"
    )
    assert ranks.codes(300) == [0, 0], ranks.said()
    assert ranks.said()[1] == ""
    # The images are there already now: the same are evaluated.
    drawn = [SamplingRun(folder) for folder in run.samplings.glob("evaluate-*")]
    assert [len(images(each)) for each in drawn] == [104]
    assert main([*arguments, "--out", str(tmp_path / "one")]) == 0
    figures = [
        json.loads((tmp_path / name / "evaluation.json").read_text(encoding="utf-8"))["figures"]
        for name in ("one", "two")
    ]
    names, values = (
        [[figure[key] for figure in each] for each in figures] for key in ("name", "value")
    )
    assert names[0] == names[1]
    assert values[0] == pytest.approx(values[1], rel=1e-6)  # sums depend on threads


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--processes", "2"), "torchrun started 2 processes already; leave --processes out"),
        (("--backend", "fake_fez"), "torchrun started 2 processes, but the backend 'fake_fez'"),
    ],
)
def test_what_processes_cannot_draw_is_refused(
    more: tuple[str, ...],
    line: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
    for name, value in {**started, "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert main(["sample", str(run.folder), *more]) == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")
