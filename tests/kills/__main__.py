"""Count the file operations of commands, kill at each of them, resume, and compare.

    python -m tests.kills [SCENARIO ...] [--some N] [--moments N] [--fresh]

prints a table: how often each command was killed, and how many of the resumed ones did not end bit
for bit as one that nothing had happened to. Commands are run in processes that are forked from this
one; all of a scenario are preceded by one in a process of its own, which must leave the same.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import LIBRARY, preloaded
from scenarios import SCENARIOS, Scenario

PROGRESS = 20
"""After so many kills one is told how many there are."""


def main() -> int:
    """Print the table; return 1 where a command did not end as it should."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m tests.kills")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(names))
    parser.add_argument("--some", type=int, help="kill at so many random operations, not at each")
    parser.add_argument("--moments", type=int, default=20, help="kills at random moments")
    parser.add_argument("--fresh", action="store_true", help="start Python for each command")
    asked = parser.parse_args()
    unknown = set(asked.scenarios) - set(names)
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are: {', '.join(names)}")
    with tempfile.TemporaryDirectory() as folder:
        if LIBRARY not in os.environ:
            # The library is loaded before Python is, so this starts again with it.
            environment = preloaded(Path(folder))
            environment["QHYBRID_CACHE_DIR"] = folder + "/cache"
            return os.spawnve(os.P_WAIT, sys.executable, sys.orig_argv, environment)
        return _sweep(Path(folder), asked)


def _sweep(folder: Path, asked: argparse.Namespace) -> int:
    from harness import warm_up

    import qhybrid.evaluation.session
    import qhybrid.sampling.session
    import qhybrid.training.run_training  # noqa: F401  (what forked processes need not import)

    warm_up()
    wrong = 0
    print("| command | file operations | killed | not as if never killed | minutes |")
    print("| --- | ---: | ---: | ---: | ---: |", flush=True)
    for number, scenario in enumerate(SCENARIOS):
        if not asked.scenarios or scenario.name in asked.scenarios:
            began = time.perf_counter()
            operations, kills, faults = _kill(scenario, folder / str(number), asked)
            minutes = (time.perf_counter() - began) / 60
            print(
                f"| `{scenario.name}` | {operations} | {kills} | {faults} | {minutes:.1f} |",
                flush=True,
            )
            wrong += faults
    return int(wrong > 0)


def _kill(scenario: Scenario, folder: Path, asked: argparse.Namespace) -> tuple[int, int, int]:
    """Return how many file operations it has, and how often it was killed, and ended otherwise."""
    from service import serving
    from sweep import RANDOM, Killer

    with serving(scenario.qpu) if scenario.qpu else nullcontext() as service:
        killer = Killer(scenario, folder, service, asked.fresh)
        faults = 0
        if asked.some is None and not asked.fresh:
            faults += _told(f"{scenario.name}, forked", killer.fault_of_forking())
        print(f"{scenario.name}, not compared: {killer.not_compared}", file=sys.stderr)
        kills = killer.kills()
        if asked.some is not None:
            kills = RANDOM.sample(kills, min(asked.some, len(kills)))
        kills += killer.moments(asked.moments)
        for done, kill in enumerate(kills):
            if done % PROGRESS == 0:
                print(f"{scenario.name}: {done} of {len(kills)}", file=sys.stderr, flush=True)
            faults += _told(f"{scenario.name}, killed {kill.text}", killer.fault(kill))
    return len(killer.undisturbed.operations), killer.killed, faults


def _told(what: str, fault: str) -> bool:
    if fault:
        print(f"{what}: {fault}", file=sys.stderr, flush=True)
    return bool(fault)


if __name__ == "__main__":
    sys.exit(main())
