"""Kills a command again and again, resumes it, and compares what it leaves."""

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contents import contents, repeated_steps
from harness import Ended, run
from scenarios import Scenario
from service import Service

RANDOM = random.Random(0)


@dataclass(frozen=True)
class Kill:
    """How a command is killed: at an operation, perhaps in the middle of it; or at a moment."""

    at: int = -1
    torn: bool = False
    after: float | None = None

    @property
    def text(self) -> str:
        """For people."""
        if self.after is not None:
            return f"after {self.after:.2f} s"
        return f"{'within' if self.torn else 'before'} file operation {self.at}"


class Killer:
    """Runs one scenario in a folder.

    Attributes:
        undisturbed: How the command ended to which nothing happened.
        killed: How often it was killed by now.
    """

    def __init__(
        self, scenario: Scenario, folder: Path, service: Service | None, fresh: bool
    ) -> None:
        """Prepare it, and see what it leaves when nothing happens to it."""
        self._scenario, self._area, self._prepared = scenario, folder / "area", folder / "prepared"
        self._service, self._jobs, self._fresh, self.killed = service, 0, fresh, 0
        self._prepared.mkdir(parents=True)
        for command in scenario.prepare[: -1 if scenario.halfway else None]:
            self._expect(self._run(command, self._prepared))
        if scenario.halfway:
            self._halve(scenario.prepare[-1])
        self._before = self._posted()
        first, self.undisturbed = self._leaves(fresh)
        self._jobs = self._posted() - self._before
        second, _ = self._leaves(fresh)
        # What times are written in, two commands that nothing happens to write differently.
        self._expected = first.items() & second.items()
        self._names = first.keys()

    @property
    def not_compared(self) -> list[str]:
        """Return the files that undisturbed commands write differently."""
        return sorted(self._names - dict(self._expected).keys())

    def fault_of_forking(self) -> str:
        """Return how a command in a new process differs from one that was forked, or ""."""
        _, ended = self._leaves(fresh=True)
        same = ended.operations == self.undisturbed.operations
        return self._differences() or ("" if same else "other file operations")

    def kills(self) -> list[Kill]:
        """Return a kill before each file operation, and one half-way through each write."""
        kills: list[Kill] = []
        for at, letter in enumerate(self.undisturbed.operations, start=1):
            kills += [Kill(at), Kill(at, torn=True)] if letter == "w" else [Kill(at)]
        return kills

    def moments(self, count: int) -> list[Kill]:
        """Return kills at random moments."""
        seconds = self.undisturbed.seconds
        return [Kill(after=RANDOM.uniform(0, seconds)) for _ in range(count)]

    def _halve(self, command: Sequence[str]) -> None:
        """Leave what a command leaves that is killed after half of its file operations."""
        self._start()
        ended = self._run(command, self._area)
        self._expect(ended)
        run(command, self._prepared, fresh=self._fresh, at=len(ended.operations) // 2)

    def _posted(self) -> int:
        """Return how many jobs a QPU was given, and may be paid for."""
        return 0 if self._service is None else self._service.jobs()

    def _run(self, command: Sequence[str], folder: Path) -> Ended:
        return run(command, folder, fresh=self._fresh)

    def _leaves(self, fresh: bool) -> tuple[dict[str, str], Ended]:
        self._start()
        ended = run(self._scenario.first, self._area, fresh=fresh)
        self._expect(ended)
        return contents(self._area / self._scenario.result), ended

    def _start(self) -> None:
        shutil.rmtree(self._area, ignore_errors=True)
        shutil.copytree(self._prepared, self._area)

    def _expect(self, ended: Ended) -> None:
        if ended.code:
            raise RuntimeError(f"exit code {ended.code}: {ended.output}")

    def fault(self, kill: Kill) -> str:
        """Kill, go on, and return what is wrong, "" if nothing is."""
        ended = self._killed(kill)
        if not ended.killed:
            return f"not killed: exit code {ended.code}: {ended.output}"
        self.killed += 1
        return self._resumed() or self._paid_twice() or self._differences()

    def _killed(self, kill: Kill) -> Ended:
        """Kill; a moment after the end of a command that was quicker this time is halved."""
        after = kill.after
        while True:
            self._start()
            self._before = self._posted()
            ended = run(
                self._scenario.first,
                self._area,
                at=kill.at,
                torn=kill.torn,
                after=after,
                fresh=self._fresh,
            )
            if ended.killed or ended.code or after is None:
                return ended
            after /= 2

    def _resumed(self) -> str:
        """Go on as a user would, and return what was wrong with that."""
        ended = self._run(self._scenario.again, self._area)
        if ended.code == 2:
            # Nothing that could be resumed was there yet, or all was done.
            refused = ended.output
            found = contents(self._area / self._scenario.result)
            if not self._expected <= found.items():
                ended = self._run(self._scenario.first, self._area)
                if ended.code:
                    return f"neither goes on: {refused} {ended.output}"
        elif ended.code:
            return f"exit code {ended.code}: {ended.output}"
        return ""

    def _paid_twice(self) -> str:
        posted = self._posted() - self._before
        return "" if posted == self._jobs else f"{posted} jobs on the QPU instead of {self._jobs}"

    def _differences(self) -> str:
        found = contents(self._area / self._scenario.result)
        differing = sorted(name for name, _ in self._expected - found.items())
        missing, extra = sorted(self._names - found.keys()), sorted(found.keys() - self._names)
        told = {"differ": differing, "missing": missing, "left over": extra}
        told["twice"] = repeated_steps(self._area)
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in told.items() if names)
