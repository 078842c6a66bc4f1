"""Files of a run that are damaged, or something else than they should be.

Whatever is in them, what comes out is what was written or one line of the project's own.
"""

import copy
import hashlib
import json
import os
import pickle
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qhybrid.cli.main import main
from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.diffusion.specs import NoiseSpec
from qhybrid.files import sealed, write_json
from qhybrid.models.model_file import read_spec
from qhybrid.models.storage import load_model, read_weights
from qhybrid.run_folder import Run
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.plan import plan_sampling
from qhybrid.sampling.request import SamplingRequest
from qhybrid.settings.sources import load_config
from qhybrid.training.checkpoints import load_checkpoint
from qhybrid.training.metrics_file import MetricsFile
from qhybrid.training.session import build_session
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid.training.transfer_record import TransferRecord, read_record
from qhybrid_circuits.errors import QHybridError, RequestError
from qhybrid_runtime.hardware.ledger import JobRecord, Ledger

SETTINGS: dict[str, Any] = {
    "model.name": "unet",
    "model.dim": 2,
    "data.classes": "0,1",
    "training.device": "cpu",
    "training.max_steps": 1,
    "sampling.steps": 1,
    "sampling.num_images": 1,
}
RECORD = TransferRecord("/a", "unet", "ab", ("a.b",), ("c",), (), ("a.b",), 3, 4)
NOISE = NoiseSpec("quantum", "statevector", 16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with every kind of file that is read again."""
    run = train(load_config(overrides=SETTINGS), out=tmp_path_factory.mktemp("runs") / "run")
    RECORD.save(run.transfer_file)
    open_noise(NOISE, run.noise_file)
    plan = plan_sampling(run, SamplingRequest(num_images=2, backend="fake_fez"))
    write_json(SamplingRun(run.folder).plan_file, sealed(plan.lasting()))
    record = Ledger(run.folder / "jobs").round("a" * 64)
    record.jobs = [JobRecord([(0, 0, 2, 1)], tag="one", estimated_seconds=3.0)]
    record.save()
    return run


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


@cache
def state() -> TrainingState:
    return build_session(load_config(overrides=SETTINGS)).state


def checkpoint(run: Run) -> Any:
    load_checkpoint(run.checkpoint(1), state())
    return copy.deepcopy(state().state_dict())


#: File -> what reads it; the values of what is damaged are those that were written, or refused.
READERS: dict[str, Callable[[Run], Any]] = {
    "model.json": lambda run: read_spec(run.folder),
    "model.safetensors": lambda run: read_weights(run.model_file),
    "checkpoints/step-0000001.ckpt": checkpoint,
    "transfer.json": lambda run: read_record(run.transfer_file),
    "plan.json": lambda run: SamplingRun(run.folder).plan(),
    "noise.npz": lambda run: open_noise(NOISE, run.noise_file).numbers,  # type: ignore[attr-defined]
    "jobs/round-aaaaaaaaaaaaaaaaaaaaaaaa-0.json": lambda run: (
        Ledger(run.folder / "jobs").round("a" * 64).jobs
    ),
    "config.toml": lambda run: run.config(),
    "metrics.csv": lambda run: MetricsFile(run.metrics_file, after_step=9),
}
CHECKED = list(READERS)[:6]


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
        save_file(load_file(path), path, {"model": "unet"})
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
