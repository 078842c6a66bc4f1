"""Count the file operations of commands, kill at each of them, resume, and compare.

    python -m tests.kills [SCENARIO ...] [--some N] [--moments N]

prints a table: how often each command was killed, and how many of the resumed ones did not end bit
for bit as one that nothing had happened to.
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


def main() -> int:
    """Print the table; return 1 where a command did not end as it should."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m tests.kills")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(names))
    parser.add_argument("--some", type=int, help="kill at so many random operations, not at each")
    parser.add_argument("--moments", type=int, default=20, help="kills at random moments")
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
    import qhybrid.evaluation.session
    import qhybrid.sampling.session
    import qhybrid.training.run_training  # noqa: F401  (what forked processes need not import)

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
    """Return how many file operations it has, how often it was killed, and ended otherwise."""
    from service import serving
    from sweep import RANDOM, Killer

    with serving(scenario.qpu) if scenario.qpu else nullcontext() as service:
        killer = Killer(scenario, folder, service)
        kills = killer.kills()
        if asked.some is not None:
            kills = RANDOM.sample(kills, min(asked.some, len(kills)))
        kills += killer.moments(asked.moments)
        faults = 0
        for kill in kills:
            fault = killer.fault(kill)
            faults += bool(fault)
            if fault:
                print(f"{scenario.name}, killed {kill.text}: {fault}", file=sys.stderr, flush=True)
    return killer.undisturbed.calls, len(kills), faults


if __name__ == "__main__":
    sys.exit(main())
