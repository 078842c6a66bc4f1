"""Sampling in parts: resumed, side by side and in shards, the images are the same."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.torch import load_file

from qhybrid.cli.main import main
from qhybrid.run_folder import Run
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.merge import merge_shards
from qhybrid.sampling.outcome import SamplingInterrupted
from qhybrid.sampling.parts import Artist
from qhybrid.sampling.request import SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError
from tests.children import can_tell, children_of

MANY = SamplingRequest(num_images=150, steps=2, device="cpu", batch_size=16)
"""Parts of 100, 16, 16, 16 and 2 images."""

FILES = ("images.npz", "grid.png", "denoising.gif")


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run without circuits, which draws quickly."""
    overrides = {
        "model.name": "unet",
        "model.dim": 4,
        "training.max_steps": 1,
        "training.device": "cpu",
        "sampling.steps": 2,
        "sampling.num_images": 1,
    }
    return train(load_config(overrides=overrides), out=tmp_path_factory.mktemp("runs") / "unet")


@pytest.fixture(scope="module")
def whole(unet: Run) -> SamplingRun:
    return sample_run(unet, MANY)


def same(one: SamplingRun, other: SamplingRun) -> None:
    for name in FILES:
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()


def stop_at(monkeypatch: pytest.MonkeyPatch, first: int, error: type[BaseException]) -> None:
    """Have the part that begins with an image interrupted."""
    draw = Artist.draw

    def interrupted(self: Artist, part: range, drawn: object) -> None:
        if part.start == first:
            raise error
        draw(self, part, drawn)

    monkeypatch.setattr(Artist, "draw", interrupted)


def test_an_image_depends_on_its_number_and_the_seed_alone(unet: Run, whole: SamplingRun) -> None:
    with np.load(whole.images_file) as arrays:
        images = arrays["images"].astype(int)
    for count, batch in ((30, 7), (150, 150)):
        other = sample_run(unet, replace(MANY, num_images=count, batch_size=batch))
        with np.load(other.images_file) as arrays:
            # The order of sums depends on the batch: a level of 255 at most.
            assert np.abs(arrays["images"].astype(int) - images[:count]).max() <= 1


def test_an_interrupted_run_ends_with_the_same_bytes(
    unet: Run, whole: SamplingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_at(patch, 132, KeyboardInterrupt)
        with pytest.raises(SamplingInterrupted, match=f"--resume --out {folder}"):
            sample_run(unet, MANY, out=folder)
    stopped = SamplingRun(folder)
    kept = sorted(path.name for path in stopped.parts_folder.iterdir())
    assert kept == [f"{n:08d}.safetensors" for n in (0, 100, 116)]
    tensors = load_file(stopped.parts_folder / kept[0])
    with np.load(whole.images_file) as arrays:
        np.testing.assert_array_equal(tensors["images"].numpy(), arrays["images"][:100])
    with pytest.raises(RequestError, match="--seed 4 does not fit"):
        sample_run(unet, SamplingRequest(seed=4), out=folder, resume=True)
    drawn = []
    draw = Artist.draw
    monkeypatch.setattr(
        Artist, "draw", lambda self, part, *rest: (drawn.append(part), draw(self, part, *rest))
    )
    # A part that is damaged is drawn again.
    damaged = stopped.parts_folder / kept[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    again = sample_run(unet, out=folder, resume=True)
    assert drawn == [range(100, 116), range(132, 148), range(148, 150)]
    same(again, whole)
    assert not stopped.parts_folder.exists()
    with pytest.raises(RequestError, match="is finished"):
        sample_run(unet, out=folder, resume=True)


@pytest.mark.thorough
def test_processes_draw_the_same_bytes(unet: Run, whole: SamplingRun) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one processor")
    same(sample_run(unet, replace(MANY, processes=2)), whole)


@pytest.mark.thorough
def test_a_killed_run_goes_on(unet: Run, tmp_path: Path) -> None:
    """SIGKILL ends the processes that draw too, and costs the parts under way alone."""
    if (os.cpu_count() or 1) < 2 or not can_tell():
        pytest.skip("one processor, or no /proc")
    folder, many = tmp_path / "killed", replace(MANY, steps=20)
    command = [sys.executable, "-m", "qhybrid", "sample", str(unet.folder), "--out", str(folder)]
    options = ["--num-images", "150", "--steps", "20", "--batch-size", "16", "--processes", "2"]
    process = subprocess.Popen([*command, *options])
    deadline = time.monotonic() + 120
    while not list(folder.glob("parts/*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.02)
    own = children_of(process.pid)
    process.kill()
    process.wait()
    assert 1 <= len(list(folder.glob("parts/*.safetensors"))) < 5
    while any(Path(f"/proc/{child}").exists() for child in own) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert time.monotonic() < deadline
    assert len(own) >= 2
    assert not (folder / "manifest.json").exists()
    same(sample_run(unet, out=folder, resume=True), sample_run(unet, many))


@pytest.fixture(scope="module")
def shards(unet: Run, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    for k in (1, 2):
        sample_run(unet, replace(MANY, shard=f"{k}/2"), out=folder / str(k))
    return [folder / "2", folder / "1"]


def test_shards_are_merged_to_the_same_bytes(
    unet: Run, whole: SamplingRun, shards: list[Path], tmp_path: Path
) -> None:
    merge = [argument for folder in shards for argument in ("--merge", str(folder))]
    assert main(["sample", str(unet.folder), *merge, "--out", str(tmp_path / "all")]) == 0
    merged = SamplingRun(tmp_path / "all")
    same(merged, whole)
    manifest = json.loads(merged.manifest_file.read_text())
    assert manifest["images"] == 150
    assert "shard" not in manifest
    assert merged.plan() == whole.plan()


def test_shards_that_do_not_belong_together_are_refused(
    unet: Run, whole: SamplingRun, shards: list[Path], tmp_path: Path
) -> None:
    other = sample_run(unet, replace(MANY, shard="1/2", seed=9), out=tmp_path / "other").folder
    third = sample_run(unet, replace(MANY, shard="3/3"), out=tmp_path / "third").folder
    begun = tmp_path / "begun"
    shutil.copytree(shards[0], begun)
    (begun / "manifest.json").unlink()
    short = tmp_path / "short"
    shutil.copytree(shards[0], short)
    np.savez(short / "images.npz", images=np.zeros((3, 8, 8, 1), np.uint8))
    weights = Run(shutil.copytree(unet.folder, tmp_path / "weights"))
    weights.model_file.write_bytes(weights.model_file.read_bytes() + b"other")
    for folders, message in (
        ([shards[0]], "shard 1/2 is missing"),
        ([shards[0], shards[0], shards[1]], "shard 2/2 is given twice"),
        ([shards[0], other], "was drawn with seed 9, but .* with 0"),
        ([*shards, third], "shard 3/3 is given beside those of 2"),
        ([shards[1], begun], "is not finished; go on with"),
        ([shards[1], short], "has 3 images instead of"),
        ([shards[0], whole.folder], "is no shard but a whole sampling run"),
        ([shards[0], unet.folder], "holds no sampling run"),
    ):
        with pytest.raises(RequestError, match=message):
            merge_shards(unet, folders, out=tmp_path / "merged")
    with pytest.raises(RequestError, match="other weights"):
        merge_shards(weights, shards, out=tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shard": "3/2"}, "--shard must be K/N with K from 1 to N"),
        ({"shard": "a"}, "--shard must be K/N"),
        ({"shard": "1/9"}, "--shard 1/9 is empty: 150 images"),
        ({"processes": 0}, "--processes must be 1 to"),
        ({"processes": 10**6}, "--processes must be 1 to"),
        ({"processes": 2, "backend": "fake_nighthawk"}, "takes all images at once"),
        ({"shard": "1/2", "backend": "fake_nighthawk"}, "takes all images at once"),
        ({"epoch": "3"}, "no weights of --epoch 3; kept are: none; .*--keep-epochs 3"),
        ({"epoch": "best"}, "--evaluate-every N"),
    ],
)
def test_wrong_requests_leave_nothing_behind(
    unet: Run, tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        sample_run(unet, replace(MANY, **wrong), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_with_other_weights_is_not_gone_on_with(
    unet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Run(shutil.copytree(unet.folder, tmp_path / "other"))
    stop_at(monkeypatch, 100, KeyboardInterrupt)
    with pytest.raises(SamplingInterrupted):
        sample_run(other, MANY, out=tmp_path / "stopped")
    other.model_file.write_bytes(other.model_file.read_bytes() + b"other")
    with pytest.raises(RequestError, match="begun with other weights"):
        sample_run(other, out=tmp_path / "stopped", resume=True)


def test_errors_of_noisy_circuits_do_not_depend_on_what_was_drawn_before(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part has errors of its own, so that shards of noisy images are those of one run."""
    backend = "noise-aware:fake_torino"
    noisy = SamplingRequest(num_images=4, steps=1, device="cpu", batch_size=2, backend=backend)
    monkeypatch.setattr("qhybrid.sampling.plan.GRID_IMAGES", 2)
    whole = sample_run(run, noisy, out=tmp_path / "whole")
    last = sample_run(run, replace(noisy, shard="2/2"), out=tmp_path / "last")
    with np.load(whole.images_file) as all_, np.load(last.images_file) as part:
        assert len(part["images"]) == 2
        np.testing.assert_array_equal(part["images"], all_["images"][-2:])


def test_the_bar_says_how_fast_images_come(unet: Run) -> None:
    written = StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    sample_run(unet, replace(MANY, steps=1), console=console)
    assert "150/150" in written.getvalue()
    assert "images/s" in written.getvalue()
