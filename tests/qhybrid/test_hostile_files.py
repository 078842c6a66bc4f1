"""Files of a run that are damaged, or something else than they should be.

Whatever is in them, what comes out is what was written or one line of the project's own.
"""

import hashlib
import json
import os
import pickle
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qhybrid.cli.main import main
from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run
from qhybrid.sampling.folder import SamplingRun
from qhybrid.training.checkpoints import load_checkpoint
from qhybrid.training.transfer_record import read_record
from qhybrid_circuits.errors import QHybridError, RequestError
from tests.fuzz.kinds import NOISE, READERS, RECORD, checkpoint, make_run, state


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with every kind of file that is read again."""
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(made: Run, tmp_path: Path) -> Run:
    return Run(shutil.copytree(made.folder, tmp_path / "run"))


@pytest.fixture(autouse=True)
def _nothing_waits() -> Iterator[None]:
    """A pipe that is opened waits for its writer, who never comes."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(50)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


CHECKED = [
    *list(READERS)[:6],
    "influence.json",
    "samplings/drawn/evaluation-1/evaluation.json",
    "images.npz",
]


def outcome(read: Callable[[Run], Any], run: Run) -> tuple[Any, str | None]:
    """Return what was read, or what the project says of it; any other error fails the test."""
    try:
        return read(run), None
    except QHybridError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return None, str(error)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("name", CHECKED)
def test_a_flipped_bit_changes_nothing_in_silence(
    run: Run, name: str, rng: np.random.Generator
) -> None:
    path, read = run.folder / name, READERS[name]
    whole, written = path.read_bytes(), read(run)
    places, refused = rng.choice(len(whole), 12 if name.endswith("ckpt") else 40, replace=False), 0
    for place in places.tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        found, told = outcome(read, run)
        refused += found is None
        assert same(found, written) if told is None else path.name in told
    assert refused >= len(places) // 4


@pytest.mark.parametrize("name", CHECKED[:5])
def test_a_file_of_an_earlier_version_has_no_checksum(run: Run, name: str) -> None:
    path, read = run.folder / name, READERS[name]
    written = read(run)
    if path.suffix == ".json":
        values = json.loads(path.read_text())
        assert len(values.pop("checksum")) == 64
        path.write_text(json.dumps(values))
    elif path.suffix == ".ckpt":
        saved = torch.load(path, weights_only=True)
        assert len(saved.pop("checksum")) == 64
        torch.save(saved, path)
    else:
        # Into another file: what was read may be this one itself, mapped.
        other = path.with_suffix(".other")
        save_file(load_file(path), other, {"model": "unet"})
        other.replace(path)
    assert same(read(run), written)


MUTATIONS: list[Callable[[bytes, np.random.Generator], bytes]] = [
    lambda data, rng: data[: rng.integers(len(data))],
    lambda data, rng: data[rng.integers(len(data)) :],
    lambda data, rng: data + rng.bytes(20),
    lambda data, rng: rng.bytes(200),
    lambda data, rng: data.replace(b"0", b"9" * 5000),
    lambda data, rng: data.replace(b"1", b"-1.5e999"),
    lambda data, rng: data.replace(b'"', b'"\\ud800', 3),
    lambda data, rng: data.replace(b'"', b"'\xff\x00", 2),
    lambda data, rng: b"[" * 100_000,
    lambda data, rng: b'{"a":' * 100_000,
    lambda data, rng: data.replace(b" ", b" [[[[true, null]]]] "),
    lambda data, rng: data.replace(b"\n", b"\n" + b"x" * 140_000, 1),
    lambda data, rng: data[:50] + rng.bytes(3) + data[53:],
]


@pytest.mark.parametrize("name", READERS)
def test_only_errors_of_our_own_come_out_of_damaged_files(
    run: Run, name: str, rng: np.random.Generator
) -> None:
    path, read = run.folder / name, READERS[name]
    whole = path.read_bytes()
    for mutate in MUTATIONS * 2:
        path.write_bytes(mutate(whole, rng))
        _, told = outcome(read, run)
        assert told is None or path.name in told


HOSTILE = [None, True, 2.5, -1, 10**30, float("inf"), "", "\ud800", [], [None], {}, [[]], ["a"]]


@pytest.mark.parametrize("name", [name for name in READERS if name.endswith(".json")])
def test_values_of_any_type_are_told(run: Run, name: str) -> None:
    path, read = run.folder / name, READERS[name]
    whole = json.loads(path.read_text())
    whole.pop("checksum", None)
    whole.pop("tensors", None)

    def places(values: Any) -> Iterator[tuple[Any, Any]]:
        for key in list(values) if isinstance(values, dict) else range(len(values)):
            yield values, key
            if isinstance(values[key], dict | list):
                yield from places(values[key])

    for table, key in places(whole):
        right = table[key]
        for value in HOSTILE:
            table[key] = value
            path.write_text(json.dumps(whole))
            _, told = outcome(read, run)
            assert told is None or path.name in told
        table[key] = right


def test_wrong_types_in_a_record_or_a_plan_are_refused(run: Run) -> None:
    for wrong in ({"taken": 2.5}, {"new": [-1, "c"]}, {"skipped": [None]}, {"weights": [None]}):
        run.transfer_file.write_text(json.dumps({**asdict(RECORD), **wrong}))
        with pytest.raises(RequestError, match=rf"not a readable record .*{next(iter(wrong))}"):
            read_record(run.transfer_file)
    plan = SamplingRun(run.folder)
    kept = json.loads(plan.plan_file.read_text())
    del kept["checksum"]
    for wrong in ({"noise_source": 0}, {"sampler": False}, {"steps": 3.0}, {"shots": "64"}):
        plan.plan_file.write_text(json.dumps({**kept, **wrong}))
        with pytest.raises(
            RequestError, match=rf"plan\.json' cannot be read .*{next(iter(wrong))}"
        ):
            plan.plan()


@pytest.mark.parametrize("name", READERS)
def test_nobody_waits_for_a_pipe_in_the_place_of_a_file(run: Run, name: str) -> None:
    path = run.folder / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RequestError):
        READERS[name](run)
    assert path.is_fifo()


@pytest.mark.parametrize("file", ["model.json", "metrics.csv", "checkpoints/step-0000001.ckpt"])
def test_commands_do_not_wait_for_a_pipe(
    run: Run, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.folder / file).unlink()
    os.mkfifo(run.folder / file)
    more = ["train", "--resume", "--out", str(run.folder), "--set", "training.max_steps=2"]
    assert main(["sample", str(run.folder)] if file == "model.json" else more) == 2
    error = capsys.readouterr().err
    assert f"'{run.folder / file}' is a pipe, not a file" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_named_as_a_checkpoint_gets_one_line(
    run: Run, protocol: int, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    run.checkpoint(1).write_bytes(pickle.dumps({"a": [1, print]}, protocol))
    more = ["train", "--resume", "--out", str(run.folder), "--set", "training.max_steps=2"]
    assert main(more) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "not a readable checkpoint (torch cannot load it); delete it to resume from the" in error
    assert not recwarn.list


def test_small_floats_are_weights(run: Run) -> None:
    expected = load_model(run.folder).state_dict()
    small = {name: weight.to(torch.float8_e4m3fn) for name, weight in expected.items()}
    save_file(small, run.model_file)
    loaded = load_model(run.folder).state_dict()
    assert all(torch.equal(loaded[name], weight.float()) for name, weight in small.items())


def test_pools_of_noise_in_odd_archives_are_refused(run: Run) -> None:
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }\n"
    for content in (header % 10**23, header[:9], b"", header % 16):
        with zipfile.ZipFile(run.noise_file, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("numbers.npy", content)
        with pytest.raises(RequestError, match="pool of noise"):
            open_noise(NOISE, run.noise_file)


def test_the_previous_checkpoint_is_named(run: Run) -> None:
    shutil.copy(run.checkpoint(1), run.checkpoint(2))
    with pytest.raises(RequestError, match=r"0002\.ckpt.*delete it to .*'step-0000001\.ckpt'"):
        load_checkpoint(run.checkpoint(2), state())


def test_a_configuration_that_is_not_as_it_was_written_is_told(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """People edit it, so that it is used all the same."""
    text = run.config_file.read_text()
    assert run.config().training.seed == 0
    body, _, digest = text.rpartition("# SHA-256 of all above: ")
    assert digest == f"{hashlib.sha256(body.encode()).hexdigest()}\n"
    assert not caplog.messages
    for changed, said in ((text.replace("\nseed = 0\n", "\nseed = 4\n"), 1), (body, 0)):
        other = Run(run.folder / str(said))
        other.folder.mkdir()
        other.config_file.write_text(changed)
        assert other.config().training.seed == 4 * said
        assert len([line for line in caplog.messages if str(other.config_file) in line]) == said


class _Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", READERS)
def test_nothing_that_is_read_is_executed(run: Run, name: str, tmp_path: Path) -> None:
    (run.folder / name).write_bytes(pickle.dumps(_Runs(tmp_path / "executed")))
    outcome(READERS[name], run)
    for keep in (
        torch.save,
        lambda value, path: np.savez(path.with_suffix(".npz"), images=[value]),
    ):
        keep(_Runs(tmp_path / "executed"), run.folder / name)
        outcome(READERS[name], run)
    assert not (tmp_path / "executed").exists()


def _laughing(levels: int) -> list[Any]:
    held: list[Any] = []
    for _ in range(levels):
        held = [held, held]
    return held


@pytest.mark.parametrize(
    "held", [{"a": torch.zeros(1).expand(10**12)}, {"a": _laughing(60)}, {"a": torch.zeros(10**7)}]
)
def test_a_checkpoint_that_declares_more_than_it_holds_is_refused_at_once(
    run: Run, held: dict[str, Any]
) -> None:
    path = run.checkpoint(1)
    torch.save(held, path)
    if isinstance(held["a"], torch.Tensor) and held["a"].is_contiguous():
        with zipfile.ZipFile(path) as stored:
            records = {name: stored.read(name) for name in stored.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, record in records.items():
                packed.writestr(name, record)
    began = time.process_time()
    with pytest.raises(RequestError, match="it declares more than it holds"):
        checkpoint(run)
    assert time.process_time() - began < 1


def test_a_text_without_end_is_not_read(run: Run) -> None:
    for name in ("model.json", "config.toml"):
        os.truncate(run.folder / name, 10**12)
        with pytest.raises(RequestError, match=f"{name}.*1,000,000,000,000 bytes"):
            READERS[name](run)


@pytest.mark.parametrize("name", ["metrics.csv", "samplings", "samples/epoch-001.png"])
def test_nothing_is_written_through_a_link_out_of_the_folder(
    run: Run, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    (run.folder / name).rename(outside)
    (run.folder / name).symlink_to(outside)
    before = outside.stat()
    more = ["train", "--resume", "--out", str(run.folder), "--set", "training.max_steps=2"]
    for command in (more, ["sample", str(run.folder)]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert f"{name}' is a link out of the folder, to '{outside}'; put" in error
        assert error.count("\n") == 1
    assert outside.stat().st_mtime_ns == before.st_mtime_ns
