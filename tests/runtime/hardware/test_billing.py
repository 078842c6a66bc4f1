import dataclasses
import itertools
import re

import numpy as np
import pytest
from device_circuits import pub_of, ring
from qiskit import transpile
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.executor_estimator.prepare import prepare as prepare_estimator
from qiskit_ibm_runtime.executor_sampler.prepare import prepare as prepare_sampler
from qiskit_ibm_runtime.options_models import EstimatorOptions, SamplerOptions

from qhybrid_circuits import RequestError
from qhybrid_runtime.hardware.billing import (
    MOST_EXECUTIONS,
    PrimitiveSettings,
    RoundSize,
    estimate,
    estimate_stock,
    total,
)
from qhybrid_runtime.hardware.ibm_primitives import precision_for
from qhybrid_runtime.hardware.measurement import measurement_bases
from tests.selection import thorough


def native_pub():
    circuit, observables, values = pub_of(ring(), np.zeros((3, 3)), np.ones(3))
    return transpile(circuit, basis_gates=["rz", "sx", "x", "cz"]), observables, values


@pytest.mark.parametrize("shots", [100, 256, 1000, 5000])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("twirling", [None, False, True])
def test_executions_are_those_that_the_estimator_prepares(shots, level, twirling) -> None:
    settings = PrimitiveSettings(shots, "estimator", level, twirling=twirling)
    options = EstimatorOptions(resilience_level=level, twirling={"enable_gates": twirling})
    program, _ = prepare_estimator([native_pub()], options, precision_for(settings))
    executions = program.shots * sum(item.size() for item in program.items)
    assert estimate([RoundSize(3, 3)], settings).executions == executions


@pytest.mark.parametrize("twirling", [None, True])
def test_executions_are_those_that_the_sampler_prepares(twirling) -> None:
    settings = PrimitiveSettings(1000, "sampler", twirling=twirling)
    circuit, _, values = native_pub()
    circuit = circuit.measure_all(inplace=False)
    options = SamplerOptions(twirling={"enable_gates": twirling})
    program, _ = prepare_sampler([(circuit, values)], options, 1000)
    executions = program.shots * sum(item.size() for item in program.items)
    assert estimate([RoundSize(3, 3)], settings).executions == executions


def test_a_round_is_one_job_whatever_the_number_of_circuits() -> None:
    settings = PrimitiveSettings(256, "sampler")
    bill = estimate([RoundSize(16, 12, circuits=13), RoundSize(16, 4)], settings)
    assert (bill.jobs, bill.pubs, bill.executions) == (1, 14, 14 * 16 * 256)
    assert bill.qpu_seconds == pytest.approx(2 + 0.00035 * 14 * 16 * 256)
    assert bill.open_plan_share == pytest.approx(bill.qpu_seconds / 600)


def test_sixteen_images_in_ten_steps() -> None:
    # Four rounds per step with one 12-qubit circuit each.
    settings = PrimitiveSettings(shots=256)
    size = RoundSize(16, 12, success_probability=0.4)
    packed = dataclasses.replace(size, copies=4, success_probability=0.02)
    unpacked_bill = estimate([size], settings).times(40)
    packed_bill = estimate([packed], settings).times(40)
    assert unpacked_bill.qpu_seconds < 180
    assert packed_bill.qpu_seconds < 100
    assert packed_bill.executions < unpacked_bill.executions / 3
    assert packed_bill.success_probability == 0.02
    stock = estimate_stock([size], settings).times(40)
    assert stock.pubs == 12 * unpacked_bill.pubs
    assert stock.qpu_seconds > 4 * unpacked_bill.qpu_seconds


def test_rounds_beyond_the_limits_are_several_jobs() -> None:
    settings = PrimitiveSettings(10_000, "sampler")
    bill = estimate([RoundSize(MOST_EXECUTIONS // 10_000 + 1, 1)], settings)
    assert bill.jobs == 2


def test_bills_add_up() -> None:
    settings = PrimitiveSettings(100, "sampler")
    bill = estimate([RoundSize(2, 1, success_probability=0.5)], settings)
    both = total([bill, bill.times(3)])
    assert (both.jobs, both.executions, both.success_probability) == (4, 800, 0.5)
    assert total([]).jobs == 0


def test_numbers_must_be_positive() -> None:
    with pytest.raises(RequestError, match="`shots` must be at least 1, but is 0"):
        estimate([RoundSize(1, 1)], PrimitiveSettings(shots=0))
    with pytest.raises(RequestError, match="`parameter_sets` must be at least 1"):
        estimate_stock([RoundSize(0, 1)], PrimitiveSettings())


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(
    ("labels", "bases"),
    [
        (["ZZI", "IZZ", "ZIZ"], 1),
        (["XXI", "IZZ", "XIX", "IIY"], 3),
        (["".join(label) for label in itertools.product("IXYZ", repeat=3)][1:], 27),
    ],
)
def test_strings_that_do_not_go_together_are_measured_apart(labels, bases, level) -> None:
    settings = PrimitiveSettings(256, "estimator", level)
    observables = [SparsePauliOp(label) for label in labels]
    circuit, _, values = native_pub()
    options = EstimatorOptions(resilience_level=level)
    pub = (circuit, [[observable] for observable in observables], values)
    program, _ = prepare_estimator([pub], options, precision_for(settings))
    executions = program.shots * sum(item.size() for item in program.items)
    assert measurement_bases(observables) == bases
    assert estimate([RoundSize(3, len(labels), bases=bases)], settings).executions == executions


@pytest.mark.parametrize("shots", [2_500_001, 10_000_000, *thorough([4_999_999, 5_000_000])])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("bill", [estimate, estimate_stock])
def test_no_job_exceeds_its_limit_whatever_the_shots(bill, level, shots) -> None:
    """What a job holds is what the client prepares, calibration included."""

    def executions(shots: int) -> int:
        settings = PrimitiveSettings(shots, "estimator", level)
        options = EstimatorOptions(resilience_level=level)
        circuit, observables, values = native_pub()
        pub = (circuit, observables, values[:1])
        program, _ = prepare_estimator([pub], options, precision_for(settings))
        return program.shots * sum(item.size() for item in program.items)

    settings = PrimitiveSettings(shots, "estimator", level)
    if executions(shots) <= MOST_EXECUTIONS:
        found = bill([RoundSize(3, 1)], settings)
        assert (found.jobs, found.executions) == (3, 3 * executions(shots))
        return
    with pytest.raises(RequestError, match=r"One parameter set takes .* but a job may hold") as c:
        bill([RoundSize(3, 1)], settings)
    most = int(re.search(r"at most ([\d,]+)", str(c.value))[1].replace(",", ""))
    assert executions(most) <= MOST_EXECUTIONS < executions(most + 1)
    assert bill([RoundSize(3, 1)], dataclasses.replace(settings, shots=most)).jobs == 3
