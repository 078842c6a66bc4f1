import pytest

from qhybrid_runtime.engine import expectations as engine


@pytest.fixture(params=["cpu", "device"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test with the compiled kernels, and with what a GPU would run."""
    choose = engine.executor_for
    monkeypatch.setattr(
        engine, "executor_for", lambda program, _, support: choose(program, request.param, support)
    )
