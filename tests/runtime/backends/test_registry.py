import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from device_circuits import pub_of, ring

from qhybrid_circuits import RequestError, UnknownNameError
from qhybrid_circuits.plugins import load_reference
from qhybrid_runtime.backends.info import JOB_OPTIONS, BackendInfo
from qhybrid_runtime.backends.names import noise_numbers
from qhybrid_runtime.backends.qpu import QpuBackend
from qhybrid_runtime.backends.registry import (
    BACKENDS,
    ROWS,
    check_backend_name,
    check_gradient,
    get_backend,
)
from qhybrid_runtime.hardware.retired import RETIRED
from qhybrid_runtime.hardware.snapshots import snapshots


@pytest.fixture(autouse=True)
def _no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("name", "home", "exact", "value"),
    [
        ("statevector", "StatevectorBackend", True, "statevector"),
        ("aer", "AerBackend", True, "aer"),
        ("aer:fake_fez", "NoisyAerBackend", False, "fake_fez"),
        (
            "aer:depolarizing=0.01,readout=0.02",
            "NoisyAerBackend",
            False,
            "depolarizing=0.01,readout=0.02",
        ),
        ("aer:readout=1e-3", "NoisyAerBackend", False, "readout=1e-3"),
        ("fake_brisbane", "FakeBackend", False, "fake_brisbane"),
        ("ibm", "IbmBackend", False, "ibm"),
        ("ibm_fez", "IbmBackend", False, "ibm_fez"),
        ("noise-aware:fake_fez", "NoiseAwareBackend", False, "fake_fez"),
    ],
)
def test_names_are_read(name: str, home: str, exact: bool, value: str) -> None:
    info = check_backend_name(name)
    assert (info.name, info.exact, info.value) == (name, exact, value)
    assert info.home.endswith(f":{home}")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_says_of_its_class_what_the_class_says(row: BackendInfo) -> None:
    backend = load_reference(row.home)
    assert (row.exact, row.gradients) == (backend.exact, backend.gradients)
    assert row.seeded == ("seed" in inspect.signature(backend).parameters)
    assert row.runs_jobs == issubclass(backend, QpuBackend)
    assert row.takes <= JOB_OPTIONS
    if row.name == "backend:":
        assert row.bits is None
    else:
        assert callable(load_reference(str(row.bits)))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("aero", "aer"),
        ("statevectr", "statevector"),
        ("fake_fex", "fake_fez"),
        ("fez", "fake_fez"),
        ("FAKE_FEZ", "fake_fez"),
        ("aer:fake_kingstn", "aer:fake_kingston"),
        ("aer:fez", "aer:fake_fez"),
    ],
)
def test_unknown_names_get_the_nearest_and_the_forms(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown backend") as caught:
        check_backend_name(name)
    message = str(caught.value)
    assert near in message.split("known:")[0]
    assert "statevector, aer, aer:fake_NAME" in message
    # Seventy devices are too many for one line.
    assert len(message) < 300


@pytest.mark.parametrize("name", ["ae", "ibn", "statevec"])
def test_no_name_is_suggested_twice(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        check_backend_name(name)
    suggested = re.findall(r"did you mean (.*)\?", str(caught.value))[0].split(" or ")
    assert len(set(suggested)) == len(suggested)


@pytest.mark.parametrize(
    "noise",
    [
        "depolarizing=2",
        "depolarizing=",
        "readout",
        "readout=0.1,readout=0.1",
        "t1=3",
        "readout=nan",
    ],
)
def test_wrong_numbers_of_noise_are_named(noise: str) -> None:
    name = f"aer:{noise if '=' in noise else noise + '='}"
    with pytest.raises(RequestError, match=r"e\.g\. aer:depolarizing=0\.01,readout=0\.02"):
        check_backend_name(name)


def test_noise_numbers_default_to_zero() -> None:
    assert noise_numbers("readout=0.02") == {"depolarizing": 0.0, "readout": 0.02}


@pytest.mark.parametrize("name", RETIRED)
def test_retired_devices_explain_themselves(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_backend_name(name)
    message = str(caught.value)
    fake = f"fake_{name.removeprefix('ibm_')}"
    assert RETIRED[name] in message
    assert f"`{fake}`" in message
    assert "`--backend ibm`" in message
    assert fake in snapshots()


def test_retired_devices_name_what_the_account_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    import qhybrid_runtime.hardware.accounts as accounts

    monkeypatch.setenv("QISKIT_IBM_TOKEN", "planted")
    monkeypatch.setattr(accounts, "offered_qpus", lambda: ("ibm_boston", "ibm_fez"))
    with pytest.raises(RequestError, match="the account offers ibm_boston, ibm_fez"):
        check_backend_name("ibm_torino")


def test_every_name_of_the_table_is_accepted() -> None:
    assert len(BACKENDS) == len(list(BACKENDS)) > 100
    assert all(check_backend_name(name).name == name for name in BACKENDS)


def test_gradients_best_first() -> None:
    assert check_gradient("aer", None) == "adjoint"
    assert check_gradient("fake_fez", None) == "spsa"
    assert check_gradient("aer:fake_fez", "adjoint") == "adjoint"
    with pytest.raises(UnknownNameError, match="did you mean adjoint"):
        check_gradient("aer", "adjont")


def test_names_load_nothing_heavy() -> None:
    script = """
import json, sys
from qhybrid_runtime.backends.registry import check_backend_name
from qhybrid_runtime.backends.catalog import backend_catalog
names = [record["name"] for record in backend_catalog()]
for name in ("fake_fez", "fake_fes", "ibm_brisbane"):
    try:
        check_backend_name(name)
    except ValueError:
        pass
heavy = {"torch", "qiskit", "qiskit_aer", "qiskit_ibm_runtime", "numpy"} & set(sys.modules)
print(json.dumps([sorted(heavy), names]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    heavy, names = json.loads(done.stdout)
    assert heavy == []
    assert {"statevector", "aer", "ibm", "fake_fez"} <= set(names)


@pytest.mark.parametrize(
    ("name", "value", "paid"),
    [
        ("fake_manila, fake_lima", "fake_manila,fake_lima", False),
        ("ibm_fez,ibm_kingston", "ibm_fez,ibm_kingston", True),
    ],
)
def test_several_qpus_are_one_backend(name: str, value: str, paid: bool) -> None:
    info = check_backend_name(name)
    assert (info.value, info.paid, info.runs_jobs) == (value, paid, True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fake_fez,fake_lima,fake_fez", "names 'fake_fez' twice"),
        ("fake_fez,statevector", "has 'statevector', but only QPUs share rounds"),
        ("aer:fake_fez,fake_lima", "has 'aer:fake_fez', but only QPUs share rounds"),
        ("fake_fez,ibm_fez", "mixes fake devices with real ones"),
        ("fake_fez,", "has '', but only QPUs share rounds"),
        ("ibm,ibm_fez", "has 'ibm', the least busy QPU"),
        ("fake_fex,fake_lima", r"unknown device 'fake_fex'; did you mean fake_fez"),
        ("ibm_fez,ibm_brisbane", "'ibm_brisbane' was retired on 2025-11-03"),
    ],
)
def test_backends_that_cannot_share_rounds_are_refused(name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        check_backend_name(name)


def test_fake_devices_that_share_rounds_draw_different_shots() -> None:
    members = get_backend("fake_manila,fake_lima", seed=3).members
    again = get_backend("fake_manila,fake_lima", seed=3).members
    seeds = [member.site.client._all_seeds.entropy for member in members]
    assert seeds == [member.site.client._all_seeds.entropy for member in again]
    assert len(set(seeds)) == 2


def test_a_circuit_that_is_too_large_names_the_qpu() -> None:
    circuit = ring(6)
    pub = pub_of(circuit, np.zeros((2, 6)), np.zeros(6))
    backend = get_backend("fake_guadalupe,fake_manila")
    with pytest.raises(RequestError, match=r"fake_manila: .* has 6 qubits, but .* only 5"):
        backend.estimator().run([pub])
