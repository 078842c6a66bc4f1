import os
import subprocess
import sys

import pytest

from qhybrid.openmp import SPINS, VARIABLES

SHOW = """
from qhybrid.cli import main
main(["--version"])
import torch
torch.ones(3)
"""


def _policy(**chosen: str) -> dict[str, str]:
    """Return what torch's GNU OpenMP says that it was set to, after the command line began."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        env={**kept, "OMP_DISPLAY_ENV": "verbose", **chosen},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line.replace("[host]", "").strip().split(" = ") for line in done.stderr.splitlines())
    return {line[0]: line[1].strip("'") for line in lines if len(line) == 2}


def test_threads_that_wait_sleep_soon() -> None:
    policy = _policy()
    if "GOMP_SPINCOUNT" not in policy:
        pytest.skip("torch's OpenMP is not GNU's")
    assert policy["GOMP_SPINCOUNT"] == str(SPINS)
    assert policy["OMP_WAIT_POLICY"] == "PASSIVE"  # what is displayed where it is not set


def test_a_users_choice_stays() -> None:
    policy = _policy(OMP_WAIT_POLICY="active")
    if "GOMP_SPINCOUNT" not in policy:
        pytest.skip("torch's OpenMP is not GNU's")
    assert policy["OMP_WAIT_POLICY"] == "ACTIVE"
    assert int(policy["GOMP_SPINCOUNT"]) > SPINS
    assert _policy(GOMP_SPINCOUNT="77")["GOMP_SPINCOUNT"] == "77"
