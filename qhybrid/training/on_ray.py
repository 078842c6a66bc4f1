"""Runs of a group as actors of a Ray cluster, one each: Ray chooses the machines."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qhybrid.run_folder import Run
from qhybrid.run_group import Group
from qhybrid.training.side_by_side import SideBySide
from qhybrid.words import counted
from qhybrid_circuits.errors import QHybridError, RequestError

if TYPE_CHECKING:
    from rich.console import Console

#: Bytes of the object store of a Ray that is started here; nothing large goes through it.
_STORE_BYTES = 100_000_000

#: Variables that the processes have as this one has them, wherever they run.
_PASSED_ON = ("PYTHONPATH", "OMP_WAIT_POLICY", "QHYBRID_")


class OnRay(SideBySide):
    """Trains runs of a group by `qhybrid train` on the machines of a Ray cluster.

    All need the same Python environment and the group's folder, at the same paths. The cluster is
    that of RAY_ADDRESS, or the one that runs on this machine, or else one is started here.
    """

    def __init__(
        self, group: Group, jobs: int | None, console: "Console | None", *, gpu: bool
    ) -> None:
        """Connect to the cluster.

        Args:
            group: The group.
            jobs: Runs at a time; one a machine where omitted.
            console: Where progress is shown.
            gpu: Whether a run takes a GPU, where the cluster has any.

        Raises:
            RequestError: Ray is not installed.
            QHybridError: The cluster cannot be reached.
        """
        self._ray, self._own = _connected()
        machines = [each["Resources"] for each in self._ray.nodes() if each["Alive"]]
        count = len(machines)
        jobs = count if jobs is None else jobs
        self._cores = cores_of_each([int(each.get("CPU", 0)) for each in machines], jobs)
        gpus = sum(each.get("GPU", 0) for each in machines)
        self._gpus = 1 if gpu and gpus >= 1 else 0
        super().__init__(group, jobs, console)
        self._say(
            f"Ray: {counted(count, 'machine')}, {counted(jobs, 'run')} at a time, each with "
            f"{counted(self._cores, 'core')}{' and a GPU' if self._gpus else ''}"
        )

    def train(self, runs: Sequence[Run], *, yes: bool = False) -> None:
        """Train runs that are not finished; see `SideBySide`, and leave the cluster."""
        try:
            super().train(runs, yes=yes)
        finally:
            if self._own:
                self._ray.shutdown()

    def _start(self, command: Sequence[str]) -> "_RayProcess":
        kept = {k: v for k, v in os.environ.items() if k.startswith(_PASSED_ON)}
        environment = {**kept, "OMP_NUM_THREADS": str(self._cores)}
        actor = self._ray.remote(_Worker).options(
            num_cpus=self._cores, num_gpus=self._gpus, max_concurrency=2
        )
        return _RayProcess(self._ray, actor.remote(command, environment, os.getcwd()))


def cores_of_each(machines: Sequence[int], jobs: int) -> int:
    """Return the most cores that each of so many runs can have at the same time, at least 1.

    `machines` are the cores of each machine; a run is on one of them.
    """
    cores = range(max(machines, default=1), 0, -1)
    return next((n for n in cores if sum(each // n for each in machines) >= jobs), 1)


def _connected() -> tuple[Any, bool]:
    """Return the module `ray`, which is connected, and whether that was done here."""
    try:
        import ray
    except ImportError as error:
        raise RequestError(
            "--launcher ray needs Ray, which is not installed: pip install 'qhybrid[ray]', or "
            "leave --launcher out"
        ) from error
    if ray.is_initialized():
        return ray, False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError as error:
        if os.environ.get("RAY_ADDRESS"):
            raise QHybridError(
                f"there is no Ray cluster at RAY_ADDRESS={os.environ['RAY_ADDRESS']}; start one "
                "with `ray start --head`, or unset RAY_ADDRESS to start one on this machine"
            ) from error
        try:
            ray.init(include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
        except Exception as failure:  # Ray raises nothing more particular
            raise QHybridError(
                f"Ray cannot be started on this machine: {failure}; start it with "
                "`ray start --head`, or leave --launcher out"
            ) from failure
    return ray, True


class _Worker:
    """A process on one of the machines; its methods run in threads."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
            cwd=folder,
            start_new_session=True,
        )

    def line(self) -> str:
        """Return what it prints next; nothing at the end."""
        return self._process.stdout.readline() if self._process.stdout is not None else ""

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait, and return the exit code."""
        return self._process.wait()


class _RayProcess:
    """A `_Worker` as a `subprocess.Popen`; one whose machine is lost has failed."""

    returncode = 1

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.stdout = self._lines()

    def _lines(self) -> Iterator[str]:
        from ray.exceptions import RayError

        try:
            while line := self._ray.get(self._actor.line.remote()):
                yield line
            self.returncode = self._ray.get(self._actor.end.remote())
        except RayError as error:
            cause = next(iter(str(error).strip().splitlines()[-1:]), type(error).__name__)
            yield (
                f"error: it was lost with its machine or Ray process ({cause}); go on with --resume"
            )

    def send_signal(self, number: int) -> None:
        """Send a signal, at once or when the process begins."""
        self._actor.signal.remote(number)

    def __enter__(self) -> "_RayProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.kill(self._actor)
