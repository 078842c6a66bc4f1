"""Count the file operations of commands, kill at each of them, resume, and compare.

    python -m tests.kills [SCENARIO ...] [--some N] [--moments N]

prints a table: how often each command was killed, and how many of the resumed ones did not end bit
for bit as one that nothing had happened to.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import LIBRARY, preloaded
from scenarios import SCENARIOS


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
    from sweep import RANDOM, Killer

    import qhybrid.evaluation.evaluate
    import qhybrid.sampling.sample_run
    import qhybrid.training.run_training  # noqa: F401  (what forked processes need not import)

    wrong = 0
    print("| command | file operations | killed | not as if never killed |")
    print("| --- | ---: | ---: | ---: |", flush=True)
    for number, scenario in enumerate(SCENARIOS):
        if asked.scenarios and scenario.name not in asked.scenarios:
            continue
        killer = Killer(scenario, folder / str(number))
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
        wrong += faults
        print(
            f"| `{scenario.name}` | {killer.undisturbed.calls} | {len(kills)} | {faults} |",
            flush=True,
        )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
