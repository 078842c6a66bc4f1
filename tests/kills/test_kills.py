"""Some of the kills that `python -m tests.kills` does all of; docs/reliability.md has its table."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


SCENARIOS = ("train", "sample")


@pytest.mark.slow
def test_a_command_that_was_killed_ends_as_if_it_had_not_been() -> None:
    """One process loads torch, and forks all commands."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler `cc` is installed, to build what counts file operations with")
    command = [sys.executable, "-m", "tests.kills", *SCENARIOS, "--some", "1", "--moments", "1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [line.split("|") for line in ended.stdout.splitlines()[2:]]
    assert [name.strip(" `") for _, name, *_ in rows] == [*SCENARIOS]
    for _, _, operations, kills, faults, *_ in rows:
        assert int(operations) > 20
        assert (int(kills), int(faults)) == (2, 0)
