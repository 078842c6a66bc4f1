"""A loopback service that the real client speaks to, with waits that are short."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qhybrid.run_folder import Run
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train
from qhybrid_runtime.hardware import accounts, client_internals, service_client
from qhybrid_runtime.loopback.account import Account
from qhybrid_runtime.loopback.served_qpu import ServedQpu
from qhybrid_runtime.loopback.server import LoopbackService

Serve = Callable[..., LoopbackService]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a service of fake QPUs, and lead the client there; options are the account's."""
    from qiskit_ibm_runtime.api.session import PostForcelistRetry

    started: list[LoopbackService] = []

    def start(*qpus: str | ServedQpu, **options: object) -> LoopbackService:
        loaded = [ServedQpu(qpu) if isinstance(qpu, str) else qpu for qpu in qpus]
        started.append(LoopbackService(Account(loaded, **options)))
        for name, value in started[-1].environment().items():
            monkeypatch.setenv(name, value)
        accounts.open_service.cache_clear()
        return started[-1]

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(PostForcelistRetry, "get_backoff_time", lambda self: 0.01)
    monkeypatch.setattr(client_internals, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(service_client, "_FIRST_POLL_SECONDS", 0.02)
    monkeypatch.setattr(service_client, "_FIRST_WAIT_SECONDS", 0.01)
    yield start
    accounts.open_service.cache_clear()
    for service in started:
        service.close()


@pytest.fixture
def service(serve: Serve) -> LoopbackService:
    """A service with the five qubits of fake_manila."""
    return serve("fake_manila")


SMALL: dict[str, object] = {
    "model.name": "qlatent",
    "model.ansatz": "reupload",
    "model.ansatz_layers": 2,
    "model.dim": 3,
    "data.limit": 100,
    "training.max_steps": 1,
    "training.batch_size": 4,
    "training.device": "cpu",
    "sampling.num_images": 1,
    "sampling.steps": 1,
}


@pytest.fixture
def small_options() -> list[str]:
    """Options of a training of one step."""
    return [f"--set={name}={value}" for name, value in SMALL.items()]


@pytest.fixture
def small() -> dict[str, object]:
    """Settings of a model with one circuit of three qubits."""
    return SMALL


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of that model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qhybrid.diffusion.autoencoder.STEPS", 20)
        return train(load_config(overrides=SMALL), out=tmp_path_factory.mktemp("runs") / "small")
