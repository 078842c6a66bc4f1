"""Feed mutated inputs to whatever reads files, settings and arguments.

    python -m tests.fuzz TARGET --cases N --seed S      # targets: python -m tests.fuzz --list
    python -m tests.fuzz TARGET --cases N --coverage    # guided by coverage, where atheris is there

An input that leads to anything but a result, or one line of the project's own, within five seconds
is kept in --keep, and told. Exit code 1 where there was one.
"""

import argparse
import hashlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

SECONDS = 5.0
"""Of CPU time that an input may take."""

GIGABYTES = 16
"""Of addresses that the process may have; torch alone takes some."""


class _Hangs(Exception):
    """An input took too long."""


def main() -> int:
    """Fuzz one target, or all; return 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", nargs="?", help="its name; all, one after the other, if omitted")
    parser.add_argument("--cases", type=int, default=1000, help="inputs to try of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("finds"), help="folder of what is found")
    parser.add_argument("--coverage", action="store_true", help="let atheris guide the mutations")
    parser.add_argument("--list", action="store_true", help="print the names of the targets")
    parser.add_argument("--replay", type=Path, help="try the inputs in a folder alone")
    asked = parser.parse_args()
    os.environ["RUST_BACKTRACE"] = "0"  # Qiskit's parsers panic, which is slow to be told at length
    from tests.fuzz import targets

    # An input must not take the machine's memory: what would is a find.
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES << 30, GIGABYTES << 30))
    if asked.list:
        print(*targets.names(), sep="\n")
        return 0
    found = 0
    for name in targets.names() if asked.target is None else [asked.target]:
        with tempfile.TemporaryDirectory() as folder:
            keep = asked.keep.absolute()
            with _instrumented() if asked.coverage else nullcontext():
                target = targets.make_target(name, Path(folder))
            if asked.coverage:
                return _guided(target, keep, name, asked)
            found += _tried(target, keep, name, asked)
    return int(found > 0)


@contextmanager
def _instrumented() -> Iterator[None]:
    """Let atheris see which lines of ours run, in what the block imports."""
    import atheris

    with atheris.instrument_imports(include=["qhybrid", "qhybrid_circuits", "qhybrid_runtime"]):
        yield


def _tried(target, keep: Path, name: str, asked: argparse.Namespace) -> int:  # type: ignore[no-untyped-def]
    """Try the inputs, print a line, and return how many were found."""
    from tests.fuzz.mutation import mutated

    rng, seen, began = random.Random(f"{name} {asked.seed}"), set[str](), time.perf_counter()
    signal.signal(signal.SIGPROF, _stop)
    replayed = None
    if asked.replay is not None:
        replayed = [path.read_bytes() for path in sorted(asked.replay.iterdir())]
    for case in range(asked.cases if replayed is None else len(replayed)):
        content = mutated(rng.choice(target.seeds), target.seeds, rng)
        if replayed is not None:
            content = replayed[case]
        wrong = _wrong(target.run, content)
        if wrong and wrong not in seen:
            seen.add(wrong)
            _keep(keep, name, content, wrong)
    seconds = time.perf_counter() - began
    print(f"| `{name}` | {case + 1:,} | {len(seen)} | {seconds:.0f} s |", flush=True)
    return len(seen)


def _guided(target, keep: Path, name: str, asked: argparse.Namespace) -> int:  # type: ignore[no-untyped-def]
    import atheris

    corpus = keep / f"corpus-{name.replace('/', '-')}"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)

    def one(content: bytes) -> None:
        wrong = _wrong(target.run, content)
        if wrong:
            _keep(keep, name, content, wrong)

    signal.signal(signal.SIGPROF, _stop)
    options = [f"-runs={asked.cases}", f"-seed={asked.seed + 1}", "-max_len=4096", str(corpus)]
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()
    return 0


def _wrong(run, content: bytes) -> str:  # type: ignore[no-untyped-def]
    from tests.fuzz.targets import find

    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return find(run, content)
    except _Hangs:
        return "it takes too long"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Hangs


def _keep(folder: Path, name: str, content: bytes, wrong: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()[:12]
    (folder / f"{name.replace('/', '-')}-{digest}").write_bytes(content)
    print(f"{name} {digest}: {wrong}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
