"""Where the results of an evaluation go, and what one that was killed leaves."""

from pathlib import Path

import pytest

from qhybrid.evaluation.results_folder import EVALUATIONS, check_results_folder, claimed
from qhybrid_circuits.errors import RequestError


def test_what_a_killed_evaluation_left_is_taken_again(tmp_path: Path) -> None:
    left = tmp_path / "results"
    left.mkdir()
    for name in ("memorization.png", "nearest.npz", ".01234567.part.json"):
        (left / name).touch()
    check_results_folder(left)
    with claimed(None, left) as folder:
        assert folder == left
        assert {path.name for path in left.iterdir()} == {"memorization.png", "nearest.npz"}
    for other in ("evaluation.json", "notes.txt"):
        (left / other).touch()
        with pytest.raises(RequestError, match="is not empty"):
            check_results_folder(left)
        with pytest.raises(RequestError, match="is not empty"), claimed(None, left):
            pass
        (left / other).unlink()


def test_two_evaluations_do_not_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with claimed(None, None) as first, claimed(None, None) as second:
        assert {first, second} == {EVALUATIONS / "array-1", EVALUATIONS / "array-2"}
        (second / "nearest.npz").touch()
    with claimed(None, None) as again:
        assert again == EVALUATIONS / "array-1"
