import warnings
from collections.abc import Callable
from functools import cache

import pytest
from qiskit.transpiler import Target


@cache
def _fake_target(name: str) -> Target:
    provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(provider, name)().target


@pytest.fixture
def fake_target() -> Callable[[str], Target]:
    return _fake_target
