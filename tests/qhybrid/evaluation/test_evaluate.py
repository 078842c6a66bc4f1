import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qhybrid
from qhybrid.cli import main
from qhybrid.data.load import load_dataset
from qhybrid.evaluation.drawing import drawn
from qhybrid.evaluation.reals import load_reals
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.files import unsealed
from qhybrid.run_folder import claim_next, open_run
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.parts import Artist
from qhybrid.settings.sections import DataSection
from qhybrid_circuits.errors import RequestError

TINY = ["--set", "training.max_steps=1", "--set", "sampling.num_images=1", "--set", "model.dim=4"]
NAMES = ["FID", "KID", "IS", "precision", "recall", "density", "coverage", "SSIM"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step, and real digits as generated images."""
    folder = tmp_path_factory.mktemp("evaluate")
    digits = load_dataset("digits").images.numpy()
    np.savez(folder / "digits.npz", images=digits[:200])
    np.savez(folder / "floats.npz", images=digits[:200] / 255)
    np.savez(folder / "large.npz", images=digits[:200].repeat(2, 1).repeat(2, 2))
    (folder / "empty").mkdir()
    train = ["train", "--model", "unet", "--out", str(folder / "run"), "--device", "cpu"]
    assert main([*train, *TINY, "--set", "sampling.steps=1"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_a_run_is_drawn_once(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["evaluate", "run", "--num-images", "120", "--format", "json"]
    assert main(command) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert "120 generated images are fewer than 2,048" in printed.err
    assert "accuracy" in printed.err
    figures = found["figures"]
    named = [f"classifier-{name}" if name in NAMES[:3] else name for name in NAMES]
    assert [figure["name"] for figure in figures] == named
    for figure in figures:
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert (figure["images"], figure["reference"]) == (120, "train")
        assert figure["features"] == ("pixels" if figure["name"] == "SSIM" else "classifier")
        assert (figure["reference_images"], figure["floor_images"]) == (1797 - 120, 120)
    by_name = {figure["name"]: figure for figure in figures}
    assert by_name["classifier-FID"]["low"] > 3 * by_name["classifier-FID"]["floor"]
    assert found["memorization"]["training_images"] == 1797
    assert Path(found["memorization"]["picture"]).is_file()
    assert Path(found["memorization"]["nearest"]).is_file()
    (drawn,) = (folder / "run" / "samplings").iterdir()
    monkeypatch.setattr(
        "qhybrid.evaluation.drawing.sample_run", lambda *_, **__: pytest.fail("drawn again")
    )
    assert main(command) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["figures"] == figures
    assert sorted(path.name for path in drawn.glob("evaluation-*")) == [
        "evaluation-1",
        "evaluation-2",
    ]
    # The sampling run by itself, and its file, are the same images.
    for subject in (drawn, drawn / "images.npz"):
        assert main(["evaluate", str(subject), "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["figures"] == figures


def test_drawing_goes_on_where_a_device_stopped_and_starts_anew_with_other_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder / "run", tmp_path / "run", ignore=lambda *_: ["samplings"])
    run, request = open_run(tmp_path / "run"), EvaluationRequest(num_images=100)
    calls: list[tuple[Path, bool]] = []

    def record(
        *_: object, out: Path | None = None, stem: str = "", resume: bool = False, **__: object
    ) -> SamplingRun:
        folder = out or claim_next(run.samplings, stem)
        calls.append((folder, resume))
        return SamplingRun(folder)

    monkeypatch.setattr("qhybrid.evaluation.drawing.sample_run", record)
    first = drawn(run, request, None)
    first.plan_file.write_text("{}")
    drawn(run, request, None)
    run.model_file.write_bytes(run.model_file.read_bytes() + b"other weights")
    other = drawn(run, request, None)
    assert calls == [(first.folder, False), (first.folder, True), (other.folder, False)]
    assert first.folder != other.folder


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_evaluation_that_was_stopped_goes_on_with_its_images(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["evaluate", "run", "--num-images", "150", "--seed", "4", "--format", "json"]
    draw, parts = Artist.draw, []

    def stopped(self: Artist, part: range, drawn: Callable[[float], None]) -> None:
        if part.start and len(parts) == 1:
            raise KeyboardInterrupt
        parts.append(part)
        draw(self, part, drawn)

    monkeypatch.setattr(Artist, "draw", stopped)
    assert main(command) == 130
    said = capsys.readouterr().err
    assert said.endswith("interrupted: finished batches are kept; the same command goes on\n")
    parts.append(range(0))  # so that the next part is drawn
    with monkeypatch.context() as patched:
        patched.setattr("qhybrid.evaluation.session.claimed", interrupted)
        assert main(command) == 130
    said = capsys.readouterr().err
    assert "interrupted: images that were drawn are kept; the same command goes on" in said
    assert main(command) == 0
    assert parts == [range(100), range(0), range(100, 150)]
    assert json.loads(capsys.readouterr().out)["figures"][0]["images"] == 150


def test_real_images_are_at_the_floor_and_are_named_copies(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", "digits.npz", "--dataset", "digits", "--format", "md"]) == 0
    printed = capsys.readouterr().out
    assert "| classifier-FID | classifier |" in printed
    assert "copies: 200" in printed
    assert "| FID |" not in printed
    found = qhybrid.evaluate("digits.npz", EvaluationRequest(dataset="digits"))
    assert found.figures[0].value < 2 * found.figures[0].floor
    assert found.memorization.copies == 200
    assert unsealed(json.loads(found.results_file.read_text())) == found.to_dict()
    with np.load("digits.npz") as arrays:
        same = qhybrid.evaluate(arrays["images"], EvaluationRequest(dataset="digits"))
    assert same.figures == found.figures


WRONG: list[tuple[list[str], list[str]]] = [
    (["runn"], ["'runn'", "did you mean run?", "FILE.npz"]),
    (["empty", "--dataset", "digits"], ["'empty' has no images", "qhybrid sample"]),
    (["floats.npz", "--dataset", "digits"], ["float64 from 0 to 1", "(255 * x)"]),
    (["large.npz", "--dataset", "digits"], ["16x16 grey", "8x8 grey", "--image-size"]),
    (["digits.npz"], ["which real images", "--dataset"]),
    (["digits.npz", "--dataset", "digts"], ["'digts'", "did you mean digits"]),
    (["digits.npz", "--dataset", "digits", "--steps", "3"], ["--steps", "drawn already"]),
    (["digits.npz", "--classes", "0,1"], ["--classes is for --dataset"]),
    (["run", "--features", "clasifier"], ["'clasifier'", "did you mean classifier"]),
    (["run", "--features", ","], ["no features", "mobilenet"]),
    (["run", "--num-images", "99"], ["--num-images", "100", "99"]),
    (["run", "--sampler", "ddin"], ["'ddin'", "did you mean ddim"]),
    (["run", "--backend", "ibm_kingston"], ["no QPU time", "qhybrid sample"]),
    (["run", "--reference", "test"], ["no 'test' split"]),
    (["run", "--reference", "val"], ["--reference", "val"]),
    (["run", "--weights", "x.pth"], ["--weights", "classifier"]),
    (["run", "--weights", "x.pth", "--features", "mobilenet"], ["no file 'x.pth'"]),
    (["run", "--out", "run"], ["run", "already"]),
    (["run/model.json"], ["neither a folder nor an .npz"]),
    (["digits.npz", "--dataset", "digits", "--image-size", "9"], ["image", "9"]),
]


@pytest.mark.parametrize(("arguments", "parts"), WRONG, ids=lambda value: " ".join(value))
def test_a_wrong_request_is_one_line(
    arguments: list[str], parts: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    assert main(["evaluate", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert not [part for part in parts if part not in printed.err], printed.err
    assert sorted(folder.rglob("*")) == before


def test_an_unfinished_sampling_run_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.json").write_text("{}")
    assert main(["evaluate", str(tmp_path), "--dataset", "digits"]) == 2
    assert "--resume --out" in capsys.readouterr().err


@pytest.fixture
def splits(tmp_path: Path, rng: np.random.Generator) -> DataSection:
    arrays = {}
    for split, size in (("train", 900), ("test", 150)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (size, 8, 8), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(size) % 2
    np.savez(tmp_path / "splits.npz", **arrays)
    return DataSection(dataset=str(tmp_path / "splits.npz"))


@pytest.mark.parametrize(
    ("split", "count", "sizes", "note"),
    [
        ("train", 300, (600, 300, 600), None),
        ("train", 500, (900, 450, 450), "two halves of 450"),
        ("test", 300, (150, 300, 150), None),
        ("test", 1000, (150, 900, 150), "900 training images"),
    ],
)
def test_the_floor_is_of_other_real_images(
    splits: DataSection, split: str, count: int, sizes: tuple[int, int, int], note: str | None
) -> None:
    found = load_reals(splits, split, count)  # type: ignore[arg-type]
    parts = (found.reference, found.floor, found.floor_reference)
    assert tuple(map(len, parts)) == sizes
    for part in parts:
        assert len(part.unique()) == len(part)
    assert not set(found.floor.tolist()) & set(found.floor_reference.tolist())
    assert (note or "") in " ".join(found.notes)
    assert bool(found.notes) == (note is not None)
    if split == "test":
        test = load_dataset(splits.dataset, split="test").images
        assert found.images[found.reference.sort().values].equal(test)


def test_a_limited_run_is_compared_with_all_but_may_have_copied_its_part(
    splits: DataSection,
) -> None:
    found = load_reals(splits.model_copy(update={"limit": 120}), "train", 300)
    assert (len(found.images), len(found.training)) == (900, 120)


def test_too_few_real_images_are_refused(splits: DataSection) -> None:
    with pytest.raises(RequestError, match="leaves 75 real images"):
        load_reals(splits.model_copy(update={"limit": None, "classes": ("0",)}), "test", 300)
