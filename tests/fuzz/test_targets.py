"""A few inputs of each kind; `python -m tests.fuzz` tries thousands."""

import shutil
from pathlib import Path
from random import Random
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.kinds import make_run
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import find, make_target, names


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("whole") / "run").folder


@pytest.mark.parametrize("name", names())
def test_no_input_ends_with_a_traceback(
    name: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "run")
    target = make_target(name, tmp_path)

    @settings(max_examples=15)
    @given(st.randoms(use_true_random=False), st.sampled_from(target.seeds), st.binary())
    def tried(rng: Random, seed: bytes, other: bytes) -> None:
        assert find(target.run, mutated(seed, (*target.seeds, other), rng)) == ""

    try:
        tried()
    finally:
        mock.patch.stopall()


def test_a_traceback_is_found() -> None:
    def run(content: bytes) -> None:
        raise ValueError(content)

    assert find(run, b"x").startswith("ValueError at ")
