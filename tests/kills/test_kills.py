"""Some of the kills that `python -m tests.kills` does all of; docs/reliability.md has its table."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "some"), [("train", "6"), ("sample", "4")])
def test_a_command_that_was_killed_ends_as_if_it_had_not_been(scenario: str, some: str) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler `cc` is installed, to build what counts file operations with")
    command = [sys.executable, "-m", "tests.kills", scenario, "--some", some, "--moments", "1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    operations, kills, faults = map(int, ended.stdout.splitlines()[-1].split("|")[2:5])
    assert operations > 20
    assert (kills, faults) == (int(some) + 1, 0)
