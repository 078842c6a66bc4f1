from importlib import import_module

import pytest

# The package exports a function of the module's name.
engine = import_module("qhybrid_runtime.engine.expectations")


@pytest.fixture(params=["cpu", "device"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test with the compiled kernels, and with what a GPU would run."""
    choose = engine.executor_for
    monkeypatch.setattr(
        engine, "executor_for", lambda program, _, support: choose(program, request.param, support)
    )
