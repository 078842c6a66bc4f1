"""What is fuzzed: inputs to begin with, and what is done with each."""

import contextlib
import io
import os
import shlex
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
from PIL import Image

from qhybrid_circuits.errors import QHybridError, RequestError

if TYPE_CHECKING:
    from qhybrid.run_folder import Run

Take = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """Something that takes bytes from a user, or from a file.

    Attributes:
        seeds: Inputs to begin with.
        run: Takes one; whatever it raises but one line of the project's own is a find.
    """

    seeds: Sequence[bytes]
    run: Take


def make_target(name: str, folder: Path) -> Target:
    """Return a target by its name; it works in a folder, with the run in it if there is one."""
    if name in MAKERS:
        return MAKERS[name](folder)
    from tests.fuzz.kinds import READERS

    run, read = _run(folder), READERS[name]
    path = run.folder / name

    def reading(content: bytes) -> None:
        path.write_bytes(content)
        read(run)

    return Target((path.read_bytes(),), reading)


def _run(folder: Path) -> "Run":
    from qhybrid.run_folder import Run
    from tests.fuzz.kinds import make_run

    there = folder / "run"
    return Run(there) if there.exists() else make_run(there)


def names() -> list[str]:
    """Return the names of all targets."""
    from tests.fuzz.kinds import READERS

    return [*MAKERS, *READERS]


def _settings(folder: Path) -> Target:
    from qhybrid.settings.config import Config
    from qhybrid.settings.recipes import recipe_names
    from qhybrid.settings.sources import load_config, save_config

    path = folder / "settings.toml"
    save_config(Config(), path)
    recipes = Path(load_config.__code__.co_filename).parents[1] / "recipes"
    seeds = [path.read_bytes(), *(each.read_bytes() for each in sorted(recipes.glob("*.toml")))]
    assert recipe_names()

    def run(content: bytes) -> None:
        path.write_bytes(content)
        load_config(path)

    return Target(seeds, run)


def _set(_: Path) -> Target:
    from qhybrid.settings.config import Config
    from qhybrid.settings.sources import flatten, load_config, parse_assignments

    values = flatten(Config().model_dump())
    seeds = [f"{key}={value}".encode() for key, value in values.items()]
    seeds += [b"data.classes=[0, 1]", b"model.channels=[4, 8]", b"ema.start=0\nema.decay=0.9"]

    def run(content: bytes) -> None:
        text = content.decode(errors="replace")
        load_config(overrides=parse_assignments(text.split("\x1f")))

    return Target(seeds, run)


def _npz(folder: Path) -> Target:
    from qhybrid.data.load import load_dataset

    path, seeds = folder / "data.npz", []
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    for arrays in (
        {"train_images": images, "train_labels": np.array([[0], [1]])},
        {"x_train": images / 255.0, "y_train": np.array(["a", "b"])},
    ):
        for save in (np.savez, np.savez_compressed):
            save(path, **arrays)
            seeds.append(path.read_bytes())

    def run(content: bytes) -> None:
        path.write_bytes(content)
        load_dataset(path)

    return Target(seeds, run)


def _images(folder: Path) -> Target:
    from qhybrid.data.load import load_dataset

    seeds = []
    for mode in ("L", "RGB", "RGBA", "P", "I;16", "LA", "1"):
        for kind in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG"):
            stream = io.BytesIO()
            with contextlib.suppress(OSError, KeyError, ValueError):
                Image.new(mode, (4, 4)).save(stream, kind)
                seeds.append(stream.getvalue())
    (folder / "data/a").mkdir(parents=True)
    Image.new("L", (4, 4)).save(folder / "data/a/first.png")

    def run(content: bytes) -> None:
        (folder / "data/a/second.png").write_bytes(content)
        load_dataset(folder / "data")

    return Target(seeds, run)


_QASM = """OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[3];
h q[0]; cx q[0],q[1]; rz(pi/7) q[1]; u3(0.1,0.2,0.3) q[2]; crx(0.4) q[2],q[0];
barrier q; swap q[1],q[2]; ccx q[0],q[1],q[2]; reset q[0]; measure q -> c;
"""


def _check_not_ours(error: BaseException) -> None:
    """Let Ctrl-C, and an end for lack of time, through."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "_Hangs":
        raise error


def _computed(circuit: object) -> None:
    """Do what is done with a user's circuit."""
    from qiskit.quantum_info import SparsePauliOp

    from qhybrid_circuits import VariationalCircuit
    from qhybrid_runtime.engine.program import compile_program

    count = circuit.num_qubits  # type: ignore[attr-defined]
    if not 0 < count <= 6 or len(circuit.data) > 200:  # type: ignore[attr-defined]
        return
    inputs = tuple(circuit.parameters)  # type: ignore[attr-defined]
    observables = (SparsePauliOp("Z" * count),)
    whole = VariationalCircuit("fuzzed", circuit, inputs, (), observables)  # type: ignore[arg-type]
    compile_program(whole.circuit, whole.inputs, whole.weights)


def _qasm(_: Path) -> Target:
    from qiskit import qasm2

    def run(content: bytes) -> None:
        try:
            circuit = qasm2.loads(content.decode(errors="replace"))
        except BaseException as error:  # Qiskit's own affair; its Rust panics with another kind
            _check_not_ours(error)
            return
        _computed(circuit)

    more = "qreg a[2]; qreg b[1]; gate g(t) x,y {rx(t) x; cz x,y;} g(1.5) a[0],b[0]; id a; x a;"
    head = 'OPENQASM 2.0; include "qelib1.inc"; '
    return Target([_QASM.encode(), (head + more).encode()], run)


def _qpy(_: Path) -> Target:
    from qiskit import QuantumCircuit, qpy
    from qiskit.circuit import Parameter

    seeds = []
    angle = Parameter("a")
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.rx(2 * angle + 1, 1)
    circuit.cx(0, 1)
    for each in (circuit, QuantumCircuit.from_qasm_str(_QASM)):
        stream = io.BytesIO()
        qpy.dump(each, stream)
        seeds.append(stream.getvalue())

    def run(content: bytes) -> None:
        try:
            (circuit,) = qpy.load(io.BytesIO(content))
        except BaseException as error:
            _check_not_ours(error)
            return
        _computed(circuit)

    return Target(seeds, run)


class _Reached(QHybridError):
    """A request was found to be right, and its work would begin."""


def _stop_before_work() -> None:
    """Let commands end where their request was found to be right."""
    import qhybrid.evaluation.session
    import qhybrid.sampling.session
    import qhybrid.training.run_training
    import qhybrid.training.seeds

    def reached(*_: object, **__: object) -> None:
        raise _Reached("reached")

    work = (
        (qhybrid.training.run_training, "run_training"),
        (qhybrid.training.seeds, "train_seeds"),
        (qhybrid.sampling.session, "run_sampling"),
        (qhybrid.sampling.session, "dry_run"),
        (qhybrid.evaluation.session, "run_evaluation"),
    )
    for module, name in work:
        if hasattr(module, name):
            mock.patch.object(module, name, reached).start()


def _arguments(folder: Path) -> Target:
    from qhybrid.cli.main import main

    os.chdir(folder)
    _run(folder)
    seeds = [
        b"train --model unet --epochs 2 --classes 0,1 --backend aer --out new --seed 3",
        b"train --resume --out run --set training.max_steps=2 --lr 0.1 --batch-size 8",
        b"train --config qattention --device cpu --precision bf16 --optimizer qng --seeds 2",
        b"sample run --num-images 3 --sampler ddim --steps 2 --backend fake_fez --shots 9",
        b"sample run --resume --out run/samplings/drawn --processes 2 --shard 1/2 --epoch best",
        b"evaluate run/samplings/drawn --num-images 100 --features pixels --reference train",
        b"evaluate run/images.npz --dataset digits --out results --format json",
        b"compare run run --format md",
        b"models --format json",
        b"configs --format md",
        b"datasets",
        b"--version",
        b"--help",
    ]

    _stop_before_work()

    def run(content: bytes) -> None:
        try:
            given = shlex.split(content.decode(errors="surrogateescape"))
        except ValueError:
            return
        if {"serve-fake", "reproduce", "report", "bound", "--debug", "backends"} & {*given}:
            return
        said, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
            code = main(given)
        line = errors.getvalue()
        right = code == 0 or line == "error: reached\n"
        wrong = code == 2 and line.startswith("error: ") and line.count("\n") == 1
        if not (right or wrong) or "Traceback" in line:
            raise AssertionError(f"exit code {code}: {line!r}")

    return Target(seeds, run)


MAKERS: dict[str, Callable[[Path], Target]] = {
    "settings": _settings,
    "set": _set,
    "npz": _npz,
    "images": _images,
    "qasm": _qasm,
    "qpy": _qpy,
    "arguments": _arguments,
}


def find(run: Take, content: bytes) -> str:
    """Return what is wrong with what becomes of an input, "" if nothing is."""
    try:
        with warnings.catch_warnings(action="ignore"):
            run(content)
    except QHybridError as error:
        text = str(error)
        # The command line puts it on one line; a reason of several is none of ours.
        wrong = "\n" in text and not isinstance(error, RequestError)
        return f"{type(error).__name__} of several lines: {text[:200]!r}" if wrong else ""
    except Exception as error:
        import traceback

        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {frame.filename}:{frame.lineno}: {str(error)[:200]!r}"
    return ""
