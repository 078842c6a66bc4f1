"""What a round of circuits costs on a QPU, before it is submitted.

Figures are estimates: IBM's own rule of thumb is 2 s a job and 0.35 ms an execution.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from qhybrid_circuits import RequestError

Primitive = Literal["estimator", "sampler"]

#: Seconds of QPU time of a job, whatever it holds.
SECONDS_A_JOB = 2.0

#: Seconds of QPU time of one execution: reset, circuit and readout, once.
SECONDS_AN_EXECUTION = 0.00035

#: What the Open plan allows in 28 days, in seconds.
OPEN_PLAN_SECONDS = 600.0

#: Executions that a job may hold. IBM's pages say 10 million or 5 million, by their age.
MOST_EXECUTIONS = 5_000_000

#: Gate layers, summed over executions, that a qubit's electronics may be asked for in a job.
MOST_INSTRUCTIONS = 26_800_000

#: Noise factors of the client's zero-noise extrapolation, which is resilience level 2.
_NOISE_FACTORS = 3

#: Parts that the client divides the shots of a twirled circuit into, and the least shots of each.
_RANDOMIZATIONS, _LEAST_SHOTS = 32, 64


@dataclass(frozen=True)
class RoundSize:
    """What one round holds of one circuit, as far as the bill is concerned.

    Attributes:
        parameter_sets: Samples.
        observables: Outputs.
        copies: Samples that run side by side on the device.
        circuits: Circuits of this kind in the round.
        success_probability: That one sample's circuit runs without any error, at its worst place;
            None where it is not known.
        bases: In how many bases the circuit is measured; 1 where all outputs are diagonal. See
            `measurement_bases`.
    """

    parameter_sets: int
    observables: int
    copies: int = 1
    circuits: int = 1
    success_probability: float | None = None
    bases: int = 1


@dataclass(frozen=True)
class PrimitiveSettings:
    """How a primitive runs circuits.

    Attributes:
        primitive: "estimator" or "sampler".
        shots: Executions of a circuit with one parameter set.
        resilience_level: 0 to 2; ignored by the sampler.
        twirling: Whether gates are twirled; None leaves it to the resilience level.
        dynamical_decoupling: Whether pulses are played on qubits that wait; costs nothing.
    """

    primitive: Primitive = "estimator"
    shots: int = 1024
    resilience_level: int = 1
    twirling: bool | None = None
    dynamical_decoupling: bool = False

    @property
    def executions(self) -> int:
        """Executions of one circuit with one parameter set in one measurement basis."""
        return self._shots * self._factors

    @property
    def calibration(self) -> int:
        """Executions that a job adds in order to learn the readout errors."""
        mitigates = self.primitive == "estimator" and self.resilience_level > 0
        return self._shots if mitigates else 0

    @property
    def _twirled(self) -> bool:
        if self.primitive == "sampler":
            return bool(self.twirling)
        return self.resilience_level > 0 or bool(self.twirling)

    @property
    def _shots(self) -> int:
        if not self._twirled:
            return self.shots
        # The client divides shots among randomizations and rounds up.
        each = max(_LEAST_SHOTS, math.ceil(self.shots / _RANDOMIZATIONS))
        return math.ceil(self.shots / each) * each

    @property
    def _factors(self) -> int:
        extrapolates = self.primitive == "estimator" and self.resilience_level == 2
        return _NOISE_FACTORS if extrapolates else 1


@dataclass(frozen=True)
class Bill:
    """What rounds cost.

    Attributes:
        jobs: Submissions.
        pubs: Circuits with their parameter sets, over all jobs.
        executions: Circuit executions, calibration included.
        qpu_seconds: Estimated QPU time.
        success_probability: The least of all circuits, or None where it is not known.
    """

    jobs: int
    pubs: int
    executions: int
    qpu_seconds: float
    success_probability: float | None = None

    @property
    def open_plan_share(self) -> float:
        """Part of the Open plan's allowance of 28 days; more than 1 where it does not suffice."""
        return self.qpu_seconds / OPEN_PLAN_SECONDS

    def times(self, rounds: int) -> "Bill":
        """Return the bill of several rounds like this one."""
        return Bill(
            self.jobs * rounds,
            self.pubs * rounds,
            self.executions * rounds,
            self.qpu_seconds * rounds,
            self.success_probability,
        )


def job_seconds(executions: int) -> float:
    """Return the estimated QPU seconds of one job."""
    return SECONDS_A_JOB + SECONDS_AN_EXECUTION * executions


def estimate(sizes: Sequence[RoundSize], settings: PrimitiveSettings) -> Bill:
    """Return the bill of one round: one job, more where it exceeds the service's limits.

    Args:
        sizes: The circuits of the round.
        settings: How they are run.

    Raises:
        RequestError: A number is not positive.
    """
    _check(sizes, settings)
    rows = sum(s.circuits * s.bases * math.ceil(s.parameter_sets / s.copies) for s in sizes)
    return _bill(
        rows * settings.executions, settings, sum(s.circuits for s in sizes), _least(sizes)
    )


def estimate_stock(sizes: Sequence[RoundSize], settings: PrimitiveSettings) -> Bill:
    """Return the bill of the same round by stock classes.

    A stock EstimatorQNN is a job of its own, with one PUB an observable, unpacked.

    Raises:
        RequestError: A number is not positive.
    """
    _check(sizes, settings)
    bills = [
        _bill(
            size.parameter_sets * size.observables * settings.executions,
            settings,
            size.observables,
            None,
        ).times(size.circuits)
        for size in sizes
    ]
    return total(bills)


def total(bills: Iterable[Bill]) -> Bill:
    """Return the bill of several rounds, one after the other."""
    listed = list(bills)
    known = [b.success_probability for b in listed if b.success_probability is not None]
    return Bill(
        sum(bill.jobs for bill in listed),
        sum(bill.pubs for bill in listed),
        sum(bill.executions for bill in listed),
        sum(bill.qpu_seconds for bill in listed),
        min(known, default=None),
    )


def _bill(executions: int, settings: PrimitiveSettings, pubs: int, success: float | None) -> Bill:
    room = MOST_EXECUTIONS - settings.calibration
    jobs = max(1, math.ceil(executions / room))
    executions += jobs * settings.calibration
    seconds = jobs * SECONDS_A_JOB + executions * SECONDS_AN_EXECUTION
    return Bill(jobs, pubs, executions, seconds, success)


def _least(sizes: Sequence[RoundSize]) -> float | None:
    known = [s.success_probability for s in sizes if s.success_probability is not None]
    return min(known, default=None)


def _check(sizes: Sequence[RoundSize], settings: PrimitiveSettings) -> None:
    numbers = [("shots", settings.shots)]
    for size in sizes:
        numbers += [("parameter_sets", size.parameter_sets), ("copies", size.copies)]
        numbers += [("observables", size.observables), ("circuits", size.circuits)]
        numbers += [("bases", size.bases)]
    for name, value in numbers:
        if value < 1:
            raise RequestError(f"`{name}` must be at least 1, but is {value}")
