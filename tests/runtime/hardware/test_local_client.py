import time
import warnings

import numpy as np
import pytest
import torch
from device_circuits import ideal_values, pub_of, ring
from device_noise_checks import device_values

from qhybrid_circuits import CircuitError, RequestError, VariationalCircuit
from qhybrid_circuits.errors import QpuLimitError
from qhybrid_circuits.lowering.lower import lower
from qhybrid_circuits.lowering.targets import restricted_target
from qhybrid_runtime import CircuitBank, get_backend, quantum_layer

pytestmark = pytest.mark.filterwarnings("error")


def noisy_values(backend, variational: VariationalCircuit, inputs, weights) -> np.ndarray:
    """Values (n_observables, B) by Aer's density matrix of the lowered circuit."""
    lowered = lower(
        variational.bind_weights(weights), backend.target, observables=variational.observables
    )
    small, final = lowered.compact()
    target = restricted_target(backend.target, lowered.qubits)
    observables = [o.apply_layout(final, small.num_qubits) for o in variational.observables]
    names = [p.name for p in variational.inputs]
    columns = [names.index(p.name) for p in small.parameters]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rows = [
            device_values(small.assign_parameters(row[columns]), target, observables, idling=True)
            for row in inputs
        ]
    return np.stack(rows, axis=1)


def values_of(backend, variational, inputs, weights) -> tuple[np.ndarray, np.ndarray]:
    result = backend.estimator().run([pub_of(variational, inputs, weights)]).result()[0]
    return np.asarray(result.data.evs), np.asarray(result.data.stds)


@pytest.mark.parametrize(
    "options",
    [
        {"primitive": "sampler"},
        {"primitive": "sampler", "twirling": True},
        {"primitive": "estimator", "resilience_level": 0},
        {"primitive": "estimator", "resilience_level": 0, "pack": 2},
    ],
    ids=str,
)
def test_values_have_the_devices_noise_with_readout_errors(options, rng) -> None:
    circuit, inputs, weights = ring(), rng.normal(size=(2, 3)), rng.normal(size=3)
    pack = options.get("pack", 1)
    # Two circuits with a qubit between them do not fit on five qubits.
    device = "fake_manila" if pack == 1 else "fake_guadalupe"
    backend = get_backend(device, shots=20_000, seed=3, **options)
    values, errors = values_of(backend, circuit, inputs, weights)
    if pack == 1:
        expected = noisy_values(backend, circuit, inputs, weights)
        np.testing.assert_allclose(values, expected, atol=4 / 20_000**0.5 + 0.003)
    else:
        expected = ideal_values(circuit, inputs, weights)
        np.testing.assert_allclose(values, expected, atol=0.35)
    assert (errors > 0.001).all()
    assert (errors <= 1.05 / 20_000**0.5).all()


def test_mitigation_takes_readout_errors_out_again(rng) -> None:
    circuit, inputs, weights = ring(), rng.normal(size=(3, 3)), rng.normal(size=3)
    ideal = ideal_values(circuit, inputs, weights)
    off = []
    for level in (0, 1):
        backend = get_backend("fake_manila", shots=20_000, seed=3, resilience_level=level)
        off.append(np.abs(values_of(backend, circuit, inputs, weights)[0] - ideal).mean())
    assert off[1] < 0.7 * off[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resilience_level": 2},
        {"dynamical_decoupling": True},
        {"primitive": "sampler", "dynamical_decoupling": True},
        {"fractional": True},
        {"twirling": True},
    ],
    ids=str,
)
def test_options_run_without_a_warning(options, rng) -> None:
    circuit, inputs, weights = ring(), rng.normal(size=(2, 3)), rng.normal(size=3)
    backend = get_backend("fake_fez", shots=2_000, seed=5, **options)
    values, _ = values_of(backend, circuit, inputs, weights)
    np.testing.assert_allclose(values, ideal_values(circuit, inputs, weights), atol=0.25)


@pytest.mark.parametrize("primitive", ["estimator", "sampler"])
def test_four_qubits_and_three_parameter_sets_take_less_than_three_seconds(
    primitive: str, rng
) -> None:
    circuit, weights = ring(4), rng.normal(size=4)
    backend = get_backend("fake_fez", primitive=primitive, seed=1)
    values_of(backend, circuit, rng.normal(size=(3, 4)), weights + 1)
    began = time.perf_counter()
    values_of(backend, circuit, rng.normal(size=(3, 4)), weights)
    assert time.perf_counter() - began < 3


def test_values_that_a_seed_repeats(rng) -> None:
    circuit, inputs, weights = ring(2), rng.normal(size=(2, 2)), rng.normal(size=2)

    def values(seed: int) -> np.ndarray:
        backend = get_backend("fake_manila", seed=seed)
        return values_of(backend, circuit, inputs, weights)[0]

    np.testing.assert_array_equal(values(1), values(1))
    assert (values(1) != values(2)).any()


def test_the_sampler_measures_diagonal_observables_only(rng) -> None:
    from qiskit.quantum_info import SparsePauliOp

    backend = get_backend("fake_manila", primitive="sampler")
    circuit = ring(2).circuit
    with pytest.raises(CircuitError, match=r"XI is not diagonal.* use the option primitive='est"):
        backend.estimator().run([(circuit, SparsePauliOp("XI"), np.zeros(4))]).result()
    mixed = SparsePauliOp(["ZZ", "IZ", "II"], [0.5, -1.0, 0.25])
    result = backend.estimator().run([(circuit, mixed, np.zeros(4))]).result()
    assert result[0].data.evs == pytest.approx(0.5 - 1.0 + 0.25, abs=0.15)


def test_any_observable_is_measured_by_the_estimator() -> None:
    from qiskit.quantum_info import SparsePauliOp

    circuit = ring(2).circuit
    backend = get_backend("fake_fez", shots=4096, seed=1)
    column = [[SparsePauliOp("XI")], [SparsePauliOp("IX")], [SparsePauliOp("ZZ")]]
    values = np.array([[np.pi / 2, 0.0, 0.0, 0.0]])
    result = backend.estimator().run([(circuit, column, values)]).result()
    np.testing.assert_allclose(result[0].data.evs[:, 0], [0, 1, 0], atol=0.08)


def test_a_bank_is_one_job_a_round(generator, tmp_path) -> None:
    events = []
    backend = get_backend("fake_manila", seed=1, shots=256, ledger=tmp_path, pack="auto")
    backend.listen(events.append)
    bank = CircuitBank(
        [ring(2, "first"), ring(2, "second"), ring(3)],
        backend,
        gradient="adjoint",
        generator=generator,
    )
    inputs = [torch.rand(2, 4, width, generator=generator) for width in (2, 2, 3)]
    with torch.no_grad():
        outputs = bank(inputs)
    assert [tuple(output.shape) for output in outputs] == [(2, 4, 2), (2, 4, 2), (2, 4, 3)]
    assert (backend.rounds, backend.ledger.num_jobs) == (1, 1)
    assert [event.status for event in events] == ["SUBMITTED", "DONE"]
    assert backend.ledger.spent_seconds == pytest.approx(events[-1].spent_seconds)
    # The same run, begun anew, takes everything from the record.
    again = get_backend("fake_manila", seed=2, shots=256, ledger=tmp_path, pack="auto")
    for layer in bank.layers:
        layer.backend = again
    with torch.no_grad():
        repeated = bank(inputs)
    assert again.ledger.num_jobs == 1
    for first, second in zip(outputs, repeated, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_other_options_are_another_round(tmp_path, rng) -> None:
    circuit, inputs, weights = ring(2), rng.normal(size=(1, 2)), rng.normal(size=2)
    for jobs, options in enumerate([{}, {"shots": 200}, {"resilience_level": 0}], start=1):
        backend = get_backend("fake_manila", **({"shots": 100} | options), ledger=tmp_path)
        values_of(backend, circuit, inputs, weights)
        assert backend.ledger.num_jobs == jobs


def test_the_limit_stops_before_it_is_exceeded(tmp_path, rng) -> None:
    circuit, weights = ring(2), rng.normal(size=2)
    rounds = [rng.normal(size=(1, 2)) for _ in range(3)]
    # Every round takes 2 s and 128 executions of 0.35 ms, the first one twice as many.
    options = {"shots": 128, "ledger": tmp_path, "seed": 1}
    backend = get_backend("fake_manila", max_qpu_seconds=4.5, **options)
    done = [values_of(backend, circuit, inputs, weights)[0] for inputs in rounds[:2]]
    with pytest.raises(QpuLimitError, match=r"4\.13 s are spent.* estimated at 2\.04 s.*--resume"):
        values_of(backend, circuit, rounds[2], weights)
    resumed = get_backend("fake_manila", max_qpu_seconds=7, **options)
    for inputs, values in zip(rounds[:2], done, strict=True):
        np.testing.assert_array_equal(values_of(resumed, circuit, inputs, weights)[0], values)
    values_of(resumed, circuit, rounds[2], weights)
    assert resumed.ledger.num_jobs == 3


def test_options_that_are_not_allowed_are_named() -> None:
    for options, message in (
        ({"shots": 0}, "`shots` must be a whole number from 1 to 10,000,000, but is 0"),
        ({"resilience_level": 3}, "`resilience_level` must be a whole number from 0 to 2"),
        ({"primitive": "counter"}, "`primitive` must be 'estimator' or 'sampler'"),
        ({"max_qpu_seconds": -1}, "`max_qpu_seconds` must be a number of at least 0"),
        ({"fractional": True, "twirling": True}, "do not go together"),
        ({"shot": 3}, "does not take the options shot; it takes seed, shots, primitive"),
    ):
        with pytest.raises(RequestError, match=message):
            get_backend("fake_manila", **options)


@pytest.mark.parametrize("options", [{}, {"pack": "auto"}, {"primitive": "sampler", "pack": 2}])
def test_the_bill_is_known_before_the_round(options, generator) -> None:
    backend = get_backend("fake_fez", seed=1, shots=100, **options)
    bank = CircuitBank(
        [ring(3, "first"), ring(3, "second"), ring(2)], backend, "adjoint", generator=generator
    )
    inputs = [torch.rand(7, width, generator=generator) for width in (3, 3, 2)]
    circuits = [layer.neural_network.compiled for layer in bank.layers]
    quote = backend.quote(circuits, inputs, [layer.weight for layer in bank.layers])
    assert backend.ledger.num_jobs == 0
    with torch.no_grad():
        bank(inputs)
    assert backend.ledger.spent_seconds == pytest.approx(quote.bill.qpu_seconds)
    assert (quote.bill.jobs, quote.bill.pubs) == (1, 3)
    assert (quote.stock.jobs, quote.stock.pubs) == (3, 8)
    assert quote.stock.executions > 2 * quote.unpacked.executions
    assert quote.unpacked.success_probability > 0.5
    if options.get("pack", 1) == 1:
        assert quote.bill == quote.unpacked
    else:
        assert quote.bill.executions < quote.unpacked.executions
        assert quote.bill.success_probability < quote.unpacked.success_probability


def test_the_device_is_told() -> None:
    device = get_backend("fake_brisbane").qpu
    assert (device.name, device.qubits, device.simulated) == ("fake_brisbane", 127, True)


def test_a_layer_has_its_outputs(generator) -> None:
    layer = quantum_layer(ring(2), get_backend("fake_manila", seed=1), "adjoint")
    assert layer(torch.rand(3, 2, generator=generator)).shape == (3, 2)
