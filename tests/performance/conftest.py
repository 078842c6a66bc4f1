from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

Timed = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def full_size(request: pytest.FixtureRequest) -> bool:
    """Whether benchmarks were asked for, by pytest-benchmark's `--benchmark-only`."""
    return bool(request.config.getoption("benchmark_only", default=False))


if find_spec("pytest_benchmark"):

    @pytest.fixture
    def timed(benchmark: Any, full_size: bool) -> Timed:
        """Call a function and return its result; with `--benchmark-only` a median is taken."""
        rounds = 7 if full_size else 1
        return lambda run: benchmark.pedantic(run, rounds=rounds, warmup_rounds=rounds - 1)

else:

    @pytest.fixture
    def timed() -> Timed:
        """Call a function and return its result."""
        return lambda run: run()
