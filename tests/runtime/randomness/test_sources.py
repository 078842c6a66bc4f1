import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from randomness_checks import assert_random, p_values_of_bits, p_values_of_numbers
from scipy import stats
from service_double import ServiceDouble

from qhybrid_circuits import QHybridError, RequestError, UnknownNameError
from qhybrid_runtime.backends import registry
from qhybrid_runtime.backends.ibm import IbmBackend
from qhybrid_runtime.backends.info import BackendInfo
from qhybrid_runtime.hardware.targets import fake_target, uniform_target
from qhybrid_runtime.randomness import qpu
from qhybrid_runtime.randomness.cost import measured_seconds
from qhybrid_runtime.randomness.entangled import EntangledBits, state_circuit
from qhybrid_runtime.randomness.factory import bit_source
from qhybrid_runtime.randomness.normal import normal_numbers
from qhybrid_runtime.randomness.qpu import QpuBits, coins_on, readable_qubits, simulated_reading

_NUMBERS = 100_000


def _biased(zero_as_one: float, one_as_zero: float) -> QpuBits:
    """Four qubits that are read wrongly so often, by Aer's own noise model."""
    noise = NoiseModel()
    noise.add_all_qubit_readout_error(
        ReadoutError([[1 - zero_as_one, zero_as_one], [one_as_zero, 1 - one_as_zero]])
    )
    lowered = coins_on(uniform_target(4), range(4))
    read = simulated_reading("biased", AerSimulator(noise_model=noise), lowered)
    return QpuBits("biased", range(4), read)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("statevector", 2 * _NUMBERS),
        ("aer", _NUMBERS),
        ("aer:fake_fez", _NUMBERS // 2),
        ("fake_manila", _NUMBERS // 10),
    ],
)
def test_bits_and_numbers_pass_tests_of_randomness(name: str, numbers: int, seed: int) -> None:
    bits = bit_source(name).bits(24 * numbers, seed)
    assert bits.shape == (24 * numbers,)
    assert_random(p_values_of_bits(bits))
    assert_random(p_values_of_numbers(normal_numbers(bits).double().numpy()))


def test_readings_of_a_biased_device_fail_and_what_is_made_of_them_passes(seed: int) -> None:
    source = _biased(0.01, 0.2)
    (table,) = source._read(150_000, np.random.SeedSequence(seed), "")
    raw = table.reshape(-1)
    assert raw.mean() == pytest.approx(0.405, abs=0.005)
    assert p_values_of_bits(raw)["ones"] < 1e-100
    numbers = normal_numbers(raw[: len(raw) // 24 * 24]).double().numpy()
    assert p_values_of_numbers(numbers)["Kolmogorov-Smirnov"] < 1e-100
    bits = source.bits(24 * _NUMBERS // 5, seed)
    assert_random(p_values_of_bits(bits))
    assert_random(p_values_of_numbers(normal_numbers(bits).double().numpy()))


@pytest.mark.parametrize("name", ["statevector", "aer", "aer:readout=0.3", "fake_manila"])
def test_a_seed_gives_the_same_bits_again_and_another_does_not(name: str) -> None:
    first, again, other = (bit_source(name).bits(500, seed) for seed in (3, 3, 2**62 + 3))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(first.tolist()) == {0, 1}
    assert bit_source(name).bits(0, 1).shape == (0,)


def test_parts_of_a_large_measurement_are_not_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's local mode would give each circuit of a job the same seed."""
    monkeypatch.setattr(qpu, "PUB_EXECUTIONS", 400)
    source = bit_source("aer:readout=0.1")
    (reads,) = source._read(1200, np.random.SeedSequence(1), "")  # type: ignore[attr-defined]
    assert reads.shape == (1200, 12)
    parts = np.split(reads, 3)
    agreements = [np.mean(parts[i] == parts[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    # 4,800 coins: a standard error of 0.007.
    assert agreements == pytest.approx([0.5] * 3, abs=0.04)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("statevector", "ghz"),
        ("aer", "random-circuit"),
        ("statevector", "random-circuit"),
        ("aer:readout=0.05", "ghz"),
        ("fake_guadalupe", "random-circuit"),
    ],
)
def test_numbers_of_one_shot_are_correlated_as_the_state_is(
    name: str, state: str, seed: int
) -> None:
    """Marginals by SciPy, rank correlations by Qiskit's state: <Z Z>, times what readout leaves."""
    groups = 200 if name == "fake_guadalupe" else 1500
    bits = bit_source(name, state=state).bits(24 * 12 * groups, seed)
    numbers = normal_numbers(bits).double().numpy().reshape(groups, 12)
    for column in (0, 5, 11):
        assert_random(p_values_of_numbers(numbers[:, column]))
    found = stats.spearmanr(numbers).statistic
    pairs = list(zip(*np.triu_indices(12, 1), strict=True))
    labels = [("ZZ", list(map(int, pair)), 1.0) for pair in pairs]
    exact = Statevector(state_circuit(state).remove_final_measurements(inplace=False))
    expected = np.array(
        [
            exact.expectation_value(SparsePauliOp.from_sparse_list([label], 14)).real
            for label in labels
        ]
    )
    assert np.abs(expected).max() > 0.4
    errors = {"aer:readout=0.05": 0.9**2}
    measured = found[np.triu_indices(12, 1)]
    # A correlation of 1,500 groups has a standard error of 0.026; a device loses a part.
    if name == "fake_guadalupe":
        slope = float(measured @ expected / (expected @ expected))
        assert 0.5 < slope < 1.02
    else:
        np.testing.assert_allclose(measured, errors.get(name, 1.0) * expected, atol=0.12)


def test_entangled_bits_follow_a_seed_and_stuck_coins_are_said() -> None:
    source = bit_source("statevector", state="ghz")
    first, again, other = (source.bits(700, number) for number in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert source.bits(0, 1).shape == (0,)
    stuck = EntangledBits("stuck", lambda shots, seed, purpose: [np.zeros((shots, 14), np.uint8)])
    with pytest.raises(QHybridError, match="coins of 'stuck' read the same every time"):
        stuck.bits(24, 0)
    with pytest.raises(UnknownNameError, match="unknown entangled state 'ghx'; did you mean ghz"):
        bit_source("aer", state="ghx")


def test_stuck_qubits_are_said() -> None:
    with pytest.raises(QHybridError, match="read the same every time"):
        _biased(0.0, 1.0).bits(100, 0)


def test_the_best_read_qubits_are_taken() -> None:
    target = fake_target("fake_fez")
    qubits = readable_qubits(target)
    errors = [target["measure"][(qubit,)].error for qubit in qubits]
    assert errors == sorted(errors)
    assert len(qubits) > 140
    assert errors[-1] <= 0.4


def test_an_accounts_device_is_read_on_all_qubits(seed: int) -> None:
    service = ServiceDouble()
    device = IbmBackend("ibm_double", service=service, client_options=service.client_options)
    source = bit_source("ibm_double", backend=device)
    assert isinstance(source, QpuBits)
    assert (source.name, sorted(source.qubits)) == ("ibm_double", [0, 1, 2, 3, 4])
    assert_random(p_values_of_bits(source.bits(50_000, seed)))


def test_a_backend_without_bits_is_refused_and_those_with_bits_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dumb = BackendInfo("dumb", "nowhere:Nothing")
    monkeypatch.setattr(registry, "check_backend_name", lambda name: dumb)
    named = "take one of statevector, aer, .*fake_NAME, ibm, ibm_NAME"
    with pytest.raises(RequestError, match=f"'dumb' is no source of random bits; {named}"):
        bit_source("dumb")


def test_unknown_backends_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean statevector"):
        bit_source("statevektor")


def test_what_a_million_numbers_cost() -> None:
    """24 bits a number, 0.75 bits a reading, 156 readings in 0.35 ms, and 2 s for the job."""
    expected = 2 + 0.00035 * 24e6 / 0.75 / 156
    assert measured_seconds(10**6, 156) == pytest.approx(expected, rel=1e-4)
    jobs = -(-1000 * 24e6 / 0.75 / 156 // 5_000_000)
    expected = 1000 * (expected - 2) + 2 * jobs
    assert measured_seconds(10**9, 156) == pytest.approx(expected, rel=1e-4)
