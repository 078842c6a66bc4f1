import json
import logging
import traceback
from pathlib import Path

import pytest
import qiskit_ibm_runtime
from service_double import ServiceDouble

import qhybrid_runtime.hardware.accounts as accounts
from qhybrid_circuits import QHybridError, RequestError
from qhybrid_runtime import get_backend
from qhybrid_runtime.backends.catalog import backend_catalog
from qhybrid_runtime.hardware.accounts import account_is_saved

TOKEN = "planted-token-0123456789"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    accounts.open_service.cache_clear()
    return tmp_path


def save(home: Path, **account: str) -> None:
    folder = home / ".qiskit"
    folder.mkdir()
    (folder / "qiskit-ibm.json").write_text(json.dumps({"default": account}))


def test_without_an_account_one_line_says_how_to_save_one() -> None:
    for name in ("ibm", "ibm_fez"):
        with pytest.raises(RequestError) as caught:
            get_backend(name)
        message = str(caught.value)
        assert "no IBM Quantum account" in message
        assert "save_account" in message
        assert "--backend fake_fez" in message
        assert "\n" not in message


def test_accounts_are_found_where_the_client_looks(home, monkeypatch) -> None:
    assert not account_is_saved()
    monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
    assert account_is_saved()
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    save(home, channel="ibm_quantum_platform", token=TOKEN)
    assert account_is_saved()


def test_the_old_channel_counts_as_no_account(home) -> None:
    save(home, channel="ibm_quantum", token=TOKEN)
    assert not account_is_saved()


@pytest.mark.parametrize("planted", ["environment", "file"])
@pytest.mark.parametrize("error", [ConnectionError, ValueError, RuntimeError])
def test_a_token_is_blanked_out_of_what_the_client_says(
    planted, error, home, monkeypatch, caplog
) -> None:
    if planted == "environment":
        monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
    else:
        save(home, channel="ibm_cloud", token=TOKEN)
    caplog.set_level(logging.DEBUG)

    def fail(*_: object) -> None:
        raise error(f"401 for apikey={TOKEN}")

    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", fail)
    with pytest.raises(QHybridError, match=r"cannot open the IBM Quantum account: .*\*\*\*") as c:
        get_backend("ibm")
    listing = backend_catalog()
    texts = ["".join(traceback.format_exception(c.value)), repr(c.value), str(listing), caplog.text]
    assert TOKEN not in "".join(texts)
    (row,) = (record for record in listing if record["name"] == "ibm")
    assert not row["usable"]


def test_the_listing_shows_the_accounts_devices(monkeypatch) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", ServiceDouble)
    rows = {record["name"]: record for record in backend_catalog()}
    assert rows["ibm"]["usable"]
    double = rows["ibm_double"]
    assert (double["qubits"], double["usable"]) == (5, True)
    assert 0 < double["two_qubit_error"] < 0.1
    assert double["note"] == "plan open: no sessions, 480 s of QPU time left; 3 jobs waiting"
    assert accounts.offered_qpus() == ("ibm_double",)
    assert get_backend("ibm").qpu.name == "ibm_double"


def test_the_plan_is_that_of_the_devices_instance() -> None:
    service = ServiceDouble("Premium")
    plan = accounts.plan_of(service, service.device)
    assert (plan.name, plan.sessions) == ("premium", True)
    assert (plan.limit_seconds, plan.left_seconds) == (600, 480)
    service.device._instance = "crn:other"
    assert not accounts.plan_of(service, service.device).sessions


def test_what_the_service_refuses_is_the_callers_to_mend(monkeypatch) -> None:
    class IBMNotAuthorizedError(Exception):
        pass

    with (
        pytest.raises(RequestError, match="cannot list devices: no entry"),
        accounts.speaking_to_service("list devices"),
    ):
        raise IBMNotAuthorizedError("no entry")
