from dataclasses import replace

import numpy as np
import pytest
from device_circuits import ideal_lattice, ideal_values, pub_of, ring
from exact_device import ExactClient
from qiskit.quantum_info import SparsePauliOp, pauli_basis

from qhybrid_circuits import RequestError
from qhybrid_circuits.lowering.lower import lower
from qhybrid_runtime.backends.lowering_estimator import LoweringEstimator
from qhybrid_runtime.hardware.billing import Limits, PrimitiveSettings
from qhybrid_runtime.hardware.job_packing import Packing
from qhybrid_runtime.hardware.jobs import HardwareExecutor
from qhybrid_runtime.hardware.ledger import Ledger
from qhybrid_runtime.hardware.measurement import measurement_bases
from qhybrid_runtime.hardware.quote import quote_round
from qhybrid_runtime.hardware.round_plan import part_executions, plan_jobs
from qhybrid_runtime.tasks import LoweredTask

SETTINGS = PrimitiveSettings(100, "sampler")


def run(pubs, *, pack=1, limits=None, target=None):
    target = ideal_lattice(5, 6) if target is None else target
    client = ExactClient()
    executor = HardwareExecutor(
        "device",
        target,
        client,
        SETTINGS,
        packing=Packing(pack, target),
        ledger=Ledger(None),
        limits=limits,
    )
    result = LoweringEstimator(executor, precision=0.1).run(pubs).result()
    return client, [np.asarray(entry.data.evs) for entry in result], result


@pytest.mark.parametrize("pack", [1, 2, 3, "auto"])
@pytest.mark.parametrize("samples", [1, 3, 7])
def test_packed_values_are_the_unpacked_ones(pack, samples, rng) -> None:
    circuit = ring()
    inputs, weights = rng.normal(size=(samples, 3)), rng.normal(size=3)
    client, (values,), result = run([pub_of(circuit, inputs, weights)], pack=pack)
    np.testing.assert_allclose(values, ideal_values(circuit, inputs, weights), atol=1e-10)
    np.testing.assert_array_equal(result[0].data.stds, np.full(values.shape, 0.25))
    ((pub,),) = client.jobs
    copies = len(pub.lowered.final_layout) // 3
    # At least four circuits of three qubits fit on the lattice.
    assert copies == (min(samples, pack) if pack != "auto" else {1: 1, 3: 3}.get(samples, copies))
    assert copies >= 3 or pack in (1, 2) or samples == 1
    assert len(pub.values) == -(-samples // copies)


def test_copies_are_kept_apart_by_a_qubit(rng) -> None:
    circuit, target = ring(), ideal_lattice(5, 6)
    inputs = rng.normal(size=(3, 3))
    client, _, _ = run([pub_of(circuit, inputs, np.ones(3))], pack=3, target=target)
    lowered = client.jobs[0][0].lowered
    coupled = set(target.build_coupling_map().get_edges())
    parts: list[set[int]] = []
    for item in lowered.circuit.data:
        qubits = {lowered.circuit.find_bit(bit).index for bit in item.qubits}
        touching = [part for part in parts if part & qubits]
        parts = [part for part in parts if part not in touching] + [qubits.union(*touching)]
    assert len(parts) == 3
    for part in parts:
        others = set(lowered.qubits) - part
        assert not {(a, b) for a in part for b in others} & coupled


def test_as_few_executions_as_fit_on_as_few_places_as_needed(rng) -> None:
    # Seven samples take two executions with five places and with four: four are better ones.
    client, _, _ = run([pub_of(ring(), rng.normal(size=(7, 3)), np.ones(3))], pack=5)
    ((pub,),) = client.jobs
    assert len(pub.lowered.final_layout) == 4 * 3
    assert len(pub.values) == 2


def test_a_circuit_that_fits_once_is_not_packed(rng) -> None:
    inputs = rng.normal(size=(3, 3))
    client, (values,), _ = run(
        [pub_of(ring(), inputs, np.ones(3))], pack="auto", target=ideal_lattice(2, 2)
    )
    assert len(client.jobs[0][0].values) == 3
    np.testing.assert_allclose(values, ideal_values(ring(), inputs, np.ones(3)), atol=1e-10)


def test_more_than_fit_are_refused_and_what_fits_is_named(rng) -> None:
    target = ideal_lattice(3, 4)
    pub = pub_of(ring(), rng.normal(size=(40, 3)), np.ones(3))
    client, _, _ = run([pub], pack="auto", target=target)
    room = max(len(pub.lowered.final_layout) // 3 for pub in client.jobs[0])
    assert room > 1
    message = rf"pack 30 does not fit: .* room for {room} x a circuit of 3 qubits; use pack {room}"
    with pytest.raises(RequestError, match=message):
        run([pub], pack=30, target=target)
    client, _, _ = run([pub], pack=room, target=target)
    assert len(client.jobs[0][0].values) == -(-40 // room)
    # No more are asked for than there are samples.
    run([pub_of(ring(), rng.normal(size=(room, 3)), np.ones(3))], pack=30, target=target)


@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("executions", [100, 300, 500, 5000])
def test_rounds_are_split_at_the_limit(pack, executions, rng) -> None:
    inputs, weights = rng.normal(size=(5, 3)), rng.normal(size=3)
    other = ring(2, "small")
    small = rng.normal(size=(4, 2))
    client, values, _ = run(
        [pub_of(ring(), inputs, weights), pub_of(other, small, weights[:2])],
        pack=pack,
        limits=Limits(executions=executions),
    )
    rows = [sum(len(pub.values) for pub in job) for job in client.jobs]
    assert sum(rows) == {1: 9, 2: 5}[pack]
    assert max(rows) <= executions // 100
    assert len(client.jobs) == -(-sum(rows) // (executions // 100))
    np.testing.assert_allclose(values[0], ideal_values(ring(), inputs, weights), atol=1e-10)
    np.testing.assert_allclose(values[1], ideal_values(other, small, weights[:2]), atol=1e-10)


def test_gate_layers_are_limited_too(rng) -> None:
    pub = pub_of(ring(), rng.normal(size=(4, 3)), np.ones(3))
    client, _, _ = run([pub])
    depth = client.jobs[0][0].lowered.circuit.depth()
    client, _, _ = run([pub], limits=Limits(instructions=2 * 100 * depth))
    assert [len(job[0].values) for job in client.jobs] == [2, 2]


def test_a_parameter_set_that_no_job_holds_is_named(rng) -> None:
    with pytest.raises(RequestError, match=r"circuit 'ring' takes 100 executions .* fewer shots"):
        run([pub_of(ring(), rng.normal(size=(1, 3)), np.ones(3))], limits=Limits(executions=99))


@pytest.mark.parametrize("pack", [0, -1, "all", 1.5, True])
def test_what_may_be_packed_is_named(pack) -> None:
    with pytest.raises(RequestError, match="`pack` must be 'auto' or a whole number"):
        Packing(pack, ideal_lattice(2, 2))


def test_each_measurement_basis_is_an_execution_of_its_own() -> None:
    variational = ring()
    target = ideal_lattice(2, 3)
    labels = [("ZZI",), ("ZZI", "XXI"), ("ZZI", "XXI", "YIY", "IXX")]
    tasks = []
    for chosen in labels:
        observables = tuple(SparsePauliOp(label) for label in chosen)
        lowered = lower(variational, target, weights=np.ones(3), cache=False)
        tasks.append(LoweredTask(lowered, observables, np.zeros((4, 3))))
    settings = PrimitiveSettings(100, resilience_level=0)
    (parts,) = plan_jobs(tasks, [1] * 3, settings, Limits())
    assert part_executions(tasks, parts, settings) == 4 * 100 * (1 + 2 + 3)
    # A job has room for seven sets of parameters in one basis each, or two in three.
    jobs = plan_jobs(tasks, [1] * 3, settings, Limits(executions=700))
    assert [[(part.task, part.rows) for part in job] for job in jobs] == [
        [(0, 4), (1, 1)],
        [(1, 3)],
        [(2, 2)],
        [(2, 2)],
    ]
    assert all(part_executions(tasks, job, settings) <= 700 for job in jobs)
    quote = quote_round(tasks, settings, Packing(1, target))
    assert quote.bill.executions == 4 * 100 * (1 + 2 + 3)


@pytest.mark.parametrize("bases", [1, 4, 26])
def test_bases_that_a_job_cannot_hold_are_split_over_jobs(bases, rng) -> None:
    """All Pauli strings of three qubits take 27 bases; a job is given room for fewer."""
    plain = ring()
    labels = rng.permutation(pauli_basis(3)[1:].to_labels())
    circuit = replace(plain, observables=tuple(SparsePauliOp(label) for label in labels))
    inputs, weights = rng.normal(size=(2, 3)), rng.normal(size=3)
    limits = Limits(executions=100 * bases)
    client, (values,), _ = run([pub_of(circuit, inputs, weights)], limits=limits)
    np.testing.assert_allclose(values, ideal_values(circuit, inputs, weights), atol=1e-10)
    asked = [pub for job in client.jobs for pub in job]
    taken = [measurement_bases(pub.observables) * len(pub.values) for pub in asked]
    assert max(taken) <= bases
    # No basis is measured twice, but for one sample after the other.
    assert sum(taken) == 2 * 27
    lowered = lower(plain.circuit, ideal_lattice(5, 6), weights=None)
    task = LoweredTask(lowered, circuit.observables, np.zeros((2, 6)))
    packing = Packing(1, ideal_lattice(5, 6))
    bill = quote_round([task], SETTINGS, packing, limits).bill
    assert (bill.jobs, bill.executions) == (len(client.jobs), 100 * 2 * 27)
