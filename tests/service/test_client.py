"""What the service says, as the client of qiskit-ibm-runtime understands it."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from device_circuits import ideal_values, pub_of, ring
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import Batch, QiskitRuntimeService
from qiskit_ibm_runtime.exceptions import IBMInputValueError, IBMNotAuthorizedError
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

from qhybrid_circuits import QHybridError, RequestError, UnknownNameError
from qhybrid_runtime.backends.ibm import IbmBackend
from qhybrid_runtime.hardware.targets import fake_target
from qhybrid_runtime.loopback.faults import Fault
from qhybrid_runtime.loopback.served_qpu import ServedQpu


def bell(target, width: int = 2) -> QuantumCircuit:
    circuit = QuantumCircuit(width)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return transpile(circuit, target=target, optimization_level=1, seed_transpiler=0)


def test_a_device_is_what_the_fake_one_is(service) -> None:
    backend = QiskitRuntimeService().backend("ibm_manila")
    fake = fake_target("fake_manila")
    assert backend.num_qubits == 5
    for gate in ("cx", "sx", "measure"):
        assert {q: p.error for q, p in backend.target[gate].items()} == {
            q: p.error for q, p in fake[gate].items()
        }
    assert backend.status().operational
    assert backend.status().pending_jobs == 3


def test_counts_have_the_noise_of_the_device(service) -> None:
    """Against the fake device's error rates: a Bell state is read wrongly as often as they say."""
    backend = QiskitRuntimeService().backend("ibm_manila")
    circuit = bell(backend.target)
    job = Sampler(mode=backend).run([(circuit,)], shots=4000)
    counts = job.result()[0].data.meas.get_counts()
    qubits = [circuit.find_bit(i.qubits[0]).index for i in circuit.data if i.name == "measure"]
    wrong = sum(fake_target("fake_manila")["measure"][(qubit,)].error for qubit in qubits)
    seen = (counts.get("01", 0) + counts.get("10", 0)) / 4000
    assert 0.5 * wrong < seen < wrong + 0.05
    assert abs(counts["00"] - counts["11"]) < 400
    (done,) = service.account.jobs
    assert job.usage() == done.paid_seconds == pytest.approx(2 + 4000 * 0.00035)
    assert job.usage_estimation == {"quantum_seconds": done.estimated_seconds}


def test_qubits_that_no_gate_connects_need_no_simulator(serve) -> None:
    """All qubits are measured: an idle one reads 0, a flipped one 1, up to its readout error."""
    serve("fake_guadalupe")
    backend = QiskitRuntimeService().backend("ibm_guadalupe")
    circuit = QuantumCircuit(16, 16)
    circuit.x(7)
    circuit.rz(0.3, 9)
    circuit.sx(9)
    circuit.measure(range(16), range(16))
    job = Sampler(mode=backend).run([(circuit,)], shots=2000)
    ones = job.result()[0].data.c.to_bool_array(order="little").mean(axis=0)
    errors = [fake_target("fake_guadalupe")["measure"][(qubit,)].error for qubit in range(16)]
    expected = np.array([0.0] * 16)
    expected[[7, 9]] = 1.0, 0.5
    allowed = 2 * np.array(errors) + 0.05
    assert (np.abs(ones - expected) < allowed).all()
    assert ones[9] == pytest.approx(0.5, abs=0.06)


def test_dry_runs_go_to_the_mock_device_and_cost_nothing(service) -> None:
    backend = QiskitRuntimeService().backend("ibm_manila")
    circuit = bell(backend.target).remove_final_measurements(inplace=False)
    pub = (circuit, SparsePauliOp("Z" * circuit.num_qubits))
    job = Estimator(mode=backend).run([pub], precision=0.1, dry_run=True)
    assert job.result()[0].data.evs.shape == ()
    (asked,) = service.account.jobs
    assert (asked.content["backend"], asked.mock, asked.paid_seconds) == ("mock_manila", True, 0)
    assert job.usage_estimation["quantum_seconds"] == asked.estimated_seconds > 2
    assert [each.name for each in QiskitRuntimeService().backends()] == ["ibm_manila"]


def test_jobs_come_in_pages_by_tag_and_state(service) -> None:
    account, client = service.account, QiskitRuntimeService()
    backend = client.backend("ibm_manila")
    sampler = Sampler(mode=backend, options={"environment": {"job_tags": ["mine"]}})
    account.outcomes += ["hang"]
    sampler.run([(bell(backend.target),)], shots=1)
    account.outcomes += ["hang"] * 44
    for number in range(44):
        account.submit({**account.jobs[0].content, "tags": [f"odd {number % 2}"]})
    assert len(client.jobs(limit=None)) == 45
    assert len(client.jobs(limit=None, job_tags=["odd 1"])) == 22
    assert [job.job_id() for job in client.jobs(limit=2, skip=43)] == [
        account.jobs[1].id,
        account.jobs[0].id,
    ]
    assert client.jobs(job_tags=["mine"], descending=False)[0].job_id() == account.jobs[0].id
    assert client.jobs(limit=None, pending=False) == []
    job = client.job(account.jobs[3].id)
    job.cancel()
    assert job.status() == "CANCELLED"
    assert len(client.jobs(limit=None, pending=True)) == 44


def test_fractional_gates_are_offered_where_a_qpu_has_them(serve) -> None:
    serve("fake_manila", "fake_prague", ServedQpu("fake_torino", fractional=False))
    client = QiskitRuntimeService()
    target = client.backend("ibm_prague", use_fractional_gates=True).target
    assert {"rx", "rzz"} <= set(target.operation_names)
    pair = next(iter(target["cz"]))
    assert target["rzz"][pair].error == target["cz"][pair].error
    assert "rzz" not in client.backend("ibm_prague").target.operation_names
    for name in ("ibm_manila", "ibm_torino"):
        with pytest.raises(IBMInputValueError, match="does not support fractional gates"):
            client.backend(name, use_fractional_gates=True)
    with pytest.raises(RequestError, match=r"'fake_manila' cannot .* not cz"):
        ServedQpu("fake_manila", fractional=True)
    with pytest.raises(UnknownNameError, match="did you mean fake_manila"):
        ServedQpu("fake_manla")


def test_sessions_are_for_plans_that_have_them(serve) -> None:
    serve("fake_manila")
    backend = QiskitRuntimeService().backend("ibm_manila")
    with pytest.raises(Exception, match="not authorized to run a session"):
        IbmBackend("ibm_manila", shots=16)._executor.client._open_mode("session", backend)
    with Batch(backend=backend) as batch:
        assert batch.status() == "Pending"
    assert batch.status() == "Closed"
    with pytest.raises(IBMInputValueError, match="Session not found"):
        Batch.from_id("unknown", QiskitRuntimeService())


def test_another_key_is_refused(service, monkeypatch) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "another-key")
    with pytest.raises(RequestError, match="cannot open the IBM Quantum account"):
        IbmBackend("ibm_manila")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("reset", times=99), "no answer from 127.0.0.1"),
        (Fault("silence", "/iam/", times=9, seconds=1.0), "no answer from 127.0.0.1"),
        (Fault(503, "/iam/", times=99), "the service fails with 503"),
        (Fault(429, "/search/", times=99), "the service fails with 429"),
        (Fault("cut", "/backends", times=99), "no answer from the service"),
    ],
    ids=str,
)
def test_a_service_that_does_not_answer_is_no_wrong_token(fault, said, service) -> None:
    service.faults.set([fault])
    with pytest.raises(QHybridError, match=f"{said}; check the network") as told:
        IbmBackend("ibm_manila")
    assert not isinstance(told.value, RequestError)
    assert "save_account" not in str(told.value)


def test_an_access_token_ends_and_another_one_is_fetched(service) -> None:
    client = QiskitRuntimeService()
    service.account.expire_tokens()
    with pytest.raises(IBMNotAuthorizedError):
        client.usage()


def test_other_processes_order_faults_and_read_what_happened(service) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(what: str, **content) -> dict:
        data = json.dumps(content).encode() if content or what != "state" else None
        return json.load(opener.open(f"{service.url}/loopback/{what}", data))

    ask("faults", faults=[{"do": 503, "path": "/usage$", "times": 9}])
    assert service.faults.pending == 1
    ask("maintenance", qpu="ibm_manila", on=True)
    assert not QiskitRuntimeService().backend("ibm_manila").status().operational
    before = fake_target("fake_manila")["cx"][(0, 1)].error
    ask("recalibrate", qpu="ibm_manila", factor=2)
    ask("break-pair", qpu="ibm_manila", pair=[3, 4])
    target = QiskitRuntimeService().backend("ibm_manila").target
    assert target["cx"][(0, 1)].error == pytest.approx(2 * before)
    assert (3, 4) not in target["cx"]
    told = ask("state")
    assert told["paid_seconds"] == 0
    assert told["requests"][0] == ["POST", "/iam/identity/token", 200]
    for what, content in (("fault", {}), ("maintenance", {"qpu": "ibm_fez", "on": True})):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(what, **content)
    with pytest.raises(RequestError, match="HTTP status from 400"):
        Fault("resett")


def test_values_are_those_of_the_circuits(service) -> None:
    """Against Qiskit's own states, within noise and shots."""
    circuit, weights = ring(2), np.array([0.3, 0.8])
    inputs = np.array([[0.2, 1.4], [-1.0, 0.6]])
    backend = IbmBackend("ibm_manila", shots=4096)
    values = backend.estimator().run([pub_of(circuit, inputs, weights)]).result()[0].data.evs
    np.testing.assert_allclose(values, ideal_values(circuit, inputs, weights), atol=0.12)
