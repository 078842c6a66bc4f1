from typing import Any

import numpy as np
import pytest
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from randomness_checks import assert_random, p_values_of_bits, p_values_of_numbers
from service_double import ServiceDouble

from qhybrid_circuits import QHybridError, RequestError, UnknownNameError
from qhybrid_runtime.backends import registry
from qhybrid_runtime.backends.info import BackendInfo
from qhybrid_runtime.device_noise.region_simulator import RegionSimulator
from qhybrid_runtime.hardware.targets import fake_target, uniform_target
from qhybrid_runtime.randomness import qpu
from qhybrid_runtime.randomness.cost import measured_seconds
from qhybrid_runtime.randomness.factory import bit_source
from qhybrid_runtime.randomness.normal import normal_numbers
from qhybrid_runtime.randomness.qpu import QpuBits, readable_qubits

_NUMBERS = 100_000


def _biased(zero_as_one: float, one_as_zero: float) -> QpuBits:
    """Four qubits that are read wrongly so often, by Aer's own noise model."""
    noise = NoiseModel()
    noise.add_all_qubit_readout_error(
        ReadoutError([[1 - zero_as_one, zero_as_one], [one_as_zero, 1 - one_as_zero]])
    )
    target = uniform_target(4)
    return QpuBits("biased", AerSimulator(noise_model=noise), target, range(4), simulated=True)


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
    raw = source._read(150_000, np.random.SeedSequence(seed)).reshape(-1)
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
    monkeypatch.setattr(qpu, "_PUB_EXECUTIONS", 400)
    source = bit_source("aer:readout=0.1")
    reads = source._read(1200, np.random.SeedSequence(1))  # type: ignore[attr-defined]
    assert reads.shape == (1200, 12)
    parts = np.split(reads, 3)
    agreements = [np.mean(parts[i] == parts[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    # 4,800 coins: a standard error of 0.007.
    assert agreements == pytest.approx([0.5] * 3, abs=0.04)


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


class _Device(RegionSimulator):
    """What the account's service gives out; local mode of the client runs it."""

    def __init__(self) -> None:
        super().__init__(fake_target("fake_manila"))
        self.name = "ibm_double"

    def __deepcopy__(self, memo: Any) -> "_Device":
        return _Device()


def test_an_accounts_device_is_read_on_all_qubits(seed: int) -> None:
    service = ServiceDouble()
    service.device = _Device()
    source = bit_source("ibm_double", service=service)
    assert isinstance(source, QpuBits)
    assert (source.name, sorted(source.qubits)) == ("ibm_double", [0, 1, 2, 3, 4])
    assert_random(p_values_of_bits(source.bits(50_000, seed)))
    with pytest.raises(RequestError, match="no device 'ibm_other'; it offers ibm_double"):
        bit_source("ibm_other", service=service)


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
