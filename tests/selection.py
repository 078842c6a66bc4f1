"""Which tests run by default; CONTRIBUTING.md has the rule."""

from collections.abc import Iterable
from typing import Any

import pytest


def thorough(cases: Iterable[Any]) -> list[Any]:
    """Return cases of a parametrized test that `pytest -m thorough` runs, and not `pytest`."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.thorough)
        for case in cases
    ]
