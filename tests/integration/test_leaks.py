"""Commands that are repeated in one process leave no files, threads or memory behind."""

from pathlib import Path

import pytest

from tests.soak import Usage, growth, repeated, sampled, trained


@pytest.mark.thorough
def test_files_and_threads_stay_as_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Memory is for `python -m tests.soak`: a few epochs say nothing of it."""
    run = tmp_path / "run"
    for work in (trained(run, "unet", "statevector"), sampled(run, "statevector", 2)):
        measured = repeated(work, times=4)
        assert len({(each.files, each.threads) for each in measured[1:]}) == 1


def test_what_grows_is_told() -> None:
    steady = [Usage(100, 3, 1)] * 10
    assert growth([Usage(50, 3, 1), *steady]) == ""
    assert growth([*steady, Usage(104, 3, 1)]) == ""
    assert growth([*steady, *[Usage(120, 4, 2)] * 3]) == "memory by 20.0 %, files, threads"
