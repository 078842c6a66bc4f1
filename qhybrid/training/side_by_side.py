"""Runs of a group side by side, each in a process of its own."""

import os
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from qhybrid.interpreter import module_command
from qhybrid.run_folder import Run
from qhybrid.run_group import Group
from qhybrid.signals import handling
from qhybrid.training.outcome import Interrupted
from qhybrid.training.stopping import SIGNALS
from qhybrid_circuits.errors import QHybridError, RequestError
from qhybrid_runtime.machine import processors

if TYPE_CHECKING:
    from rich.console import Console

_WRONG_REQUEST, _INTERRUPTED = 2, 130
"""Exit codes of the command line."""


class Training(Protocol):
    """What is asked of a process that trains a run: a `subprocess.Popen` has it."""

    @property
    def stdout(self) -> Iterable[str] | None: ...

    @property
    def returncode(self) -> int: ...

    def send_signal(self, number: int, /) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


class SideBySide:
    """Trains runs of a group by `qhybrid train`, some at a time.

    The processes have a terminal session of their own, so that Ctrl-C reaches this process alone,
    which passes it on: the first one saves every run, a second one stops at once.
    """

    def __init__(
        self, group: Group, jobs: int, console: "Console | None", devices: int = 1
    ) -> None:
        """Set up for `jobs` runs at a time, each of which has so many processes."""
        self._group, self._jobs, self._console = group, jobs, console
        self._devices, self._yes = devices, False
        self._processes: list[Training] = []
        self._stopped, self._lock = False, Lock()

    def train(self, runs: Sequence[Run], *, yes: bool = False) -> None:
        """Train runs that are not finished; `yes` agrees to the QPU time that they take.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the state was saved.
            RequestError: The request is wrong.
            QHybridError: A run failed; the others were trained.
        """
        self._yes = yes
        with handling(SIGNALS, self._pass_on), ThreadPoolExecutor(self._jobs) as pool:
            ends = _results([pool.submit(self._train_one, run) for run in runs])
        failures = [(run, *end) for run, end in zip(runs, ends, strict=True) if end[0]]
        stopped = [run for run, code, _ in failures if code == _INTERRUPTED]
        if self._stopped or stopped:
            names = " and ".join(run.folder.name for run in stopped) or "the runs"
            steps = [run.newest_step() for run in stopped or runs]
            raise Interrupted(min(steps), self._group.folder, run=names)
        for run, code, message in failures:
            kind = RequestError if code == _WRONG_REQUEST else QHybridError
            raise kind(f"{run.folder.name}: {message}")

    def _train_one(self, run: Run) -> tuple[int, str]:
        """Return the exit code and the last line of errors."""
        process = self._begin(run)
        if process is None:
            return 0, ""
        line = ""
        with process:
            for line in process.stdout or ():
                if line.startswith(("epoch", " warning")):
                    self._say(f"{run.folder.name}  {line.rstrip()}")
        return process.returncode, line.strip().removeprefix("error: ")

    def _begin(self, run: Run) -> "Training | None":
        """Return the process that trains a run; None after a signal."""
        command = module_command("qhybrid", "train", "--out", str(run.folder))
        command += ["--config", str(self._group.config_file)]
        command += ["--seed", run.folder.name.removeprefix("seed-")]
        command += ["--resume"] if run.config_file.is_file() else []
        command += ["--yes"] if self._yes else []
        with self._lock:  # No process may begin unnoticed while a signal is passed on.
            if self._stopped:
                return None
            self._say(f"{run.folder} begins")
            process = self._start(command)
            self._processes.append(process)
        return process

    def _start(self, command: Sequence[str]) -> "Training":
        """Start a process."""
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(self._jobs * self._devices),
            start_new_session=True,
        )

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.send_signal(number)  # which does nothing where it has ended

    def _say(self, text: str) -> None:
        if self._console is not None:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _results(ends: Sequence[Future[tuple[int, str]]]) -> list[tuple[int, str]]:
    """Return what the processes' threads return, when all have ended.

    Python runs signal handlers in the main thread alone, and only once it wakes up: the kernel may
    have given the signal to another thread. So it sleeps no longer than a fraction of a second.
    """
    while wait(ends, timeout=0.2).not_done:
        pass
    return [end.result() for end in ends]


def _environment(processes: int) -> dict[str, str]:
    """Return the environment of one of several processes: each has its share of the cores."""
    return {"OMP_NUM_THREADS": str(max(1, processors() // processes)), **os.environ}
