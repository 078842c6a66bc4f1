"""The cost of a round of circuits on a QPU, estimated before it is submitted.

Figures are estimates: IBM's own rule of thumb is 2 s per job and 0.35 ms per execution.
"""

import math
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from qhybrid_circuits import RequestError

Primitive = Literal["estimator", "sampler"]

#: Seconds of QPU time of a job, whatever it holds.
SECONDS_A_JOB = 2.0

#: Seconds of QPU time of one execution: reset, circuit and readout, once.
SECONDS_AN_EXECUTION = 0.00035

#: What the Open plan allows in 28 days, in seconds.
OPEN_PLAN_SECONDS = 600.0

#: QPU time that is spent without asking.
FREE_SECONDS = 60.0

#: Executions that a job may hold. IBM's pages say 10 million or 5 million, by their age.
MOST_EXECUTIONS = 5_000_000

#: Gate layers, summed over executions, that a qubit's electronics may be asked for in a job.
MOST_INSTRUCTIONS = 26_800_000

#: Seconds of QPU time that the service allows a job.
_MOST_JOB_SECONDS = 10_800

#: Noise factors of the client's zero-noise extrapolation, which is resilience level 2.
_NOISE_FACTORS = 3

#: The most executions that cancelling gate errors takes, for each without.
PEC_OVERHEAD = 10

#: Parts that the client divides the shots of a twirled circuit into, and the least shots of each.
_RANDOMIZATIONS, _LEAST_SHOTS = 32, 64


@dataclass(frozen=True)
class Limits:
    """The most that a job may hold.

    Attributes:
        executions: Executions of circuits.
        instructions: Gate layers, summed over executions.
    """

    executions: int = MOST_EXECUTIONS
    instructions: int = MOST_INSTRUCTIONS


@dataclass(frozen=True)
class RoundSize:
    """The figures of one circuit of a round that its bill follows from.

    Attributes:
        parameter_sets: Samples.
        observables: Outputs.
        copies: Samples that run side by side on the QPU.
        circuits: Circuits of this kind in the round.
        success_probability: The estimated success probability (ESP) of one sample's circuit at its
            worst place; None where it is not known.
        bases: Bases that the circuit is measured in; see `measurement_bases`.
        layers: Gate layers of the circuit.
    """

    parameter_sets: int
    observables: int
    copies: int = 1
    circuits: int = 1
    success_probability: float | None = None
    bases: int = 1
    layers: int = 1


@dataclass(frozen=True)
class PrimitiveSettings:
    """The options of IBM's primitives that fake QPUs and real ones take.

    Attributes:
        shots: Executions of a circuit with one parameter set.
        primitive: "estimator", or "sampler", whose raw counts are cheaper to reason about.
        resilience_level: Of the estimator: 0 no mitigation, 1 readout, 2 extrapolation to no noise.
        dynamical_decoupling: Whether pulses are played on qubits that wait; costs nothing.
        twirling: Whether gates are twirled; None leaves it to the resilience level.
        pec: Whether the estimator cancels gate errors (probabilistic error cancellation).
        calibrated: Whether a job before this one has learnt the readout errors.
    """

    shots: int = 1024
    primitive: Primitive = "estimator"
    resilience_level: int = 1
    dynamical_decoupling: bool = False
    twirling: bool | None = None
    pec: bool = False
    calibrated: bool = False

    @property
    def text(self) -> str:
        """The settings as part of a round's key; to change it would lose the rounds on record."""
        names = ("primitive", "shots", "resilience_level", "twirling", "dynamical_decoupling")
        listed = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"PrimitiveSettings({listed}{', pec=True' if self.pec else ''})"

    @property
    def executions(self) -> int:
        """Executions of one circuit with one parameter set in one measurement basis, at most."""
        if self.primitive == "sampler":
            return self._shots
        extrapolates = self.resilience_level == 2
        return self._shots * (PEC_OVERHEAD if self.pec else _NOISE_FACTORS if extrapolates else 1)

    @property
    def calibration(self) -> int:
        """Executions that a job adds in order to learn the readout errors."""
        return self._shots if self.corrects_readout and not self.calibrated else 0

    @property
    def corrects_readout(self) -> bool:
        """Whether values are corrected for readout errors."""
        return self.primitive == "estimator" and self.resilience_level > 0

    @property
    def keeps_calibration(self) -> bool:
        """Whether what one job learns of readout errors serves those after it.

        Extrapolation and cancelling would act on that part of a job, too.
        """
        return self.corrects_readout and self.resilience_level == 1 and not self.pec

    @property
    def _shots(self) -> int:
        if not (self.corrects_readout or self.twirling):
            return self.shots
        # The client divides the shots of a twirled circuit among randomizations and rounds up.
        each = max(_LEAST_SHOTS, 0 if self.pec else math.ceil(self.shots / _RANDOMIZATIONS))
        return math.ceil(self.shots / each) * each


@dataclass(frozen=True)
class Bill:
    """The cost of rounds.

    Attributes:
        jobs: Submissions.
        pubs: Circuits with their parameter sets, over all jobs.
        executions: Circuit executions, calibration included.
        qpu_seconds: Estimated QPU time.
        success_probability: The least ESP of all circuits, or None where it is not known.
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
        counts = (self.jobs * rounds, self.pubs * rounds, self.executions * rounds)
        return Bill(*counts, self.qpu_seconds * rounds, self.success_probability)


def job_seconds(executions: int) -> float:
    """Return the estimated QPU seconds of one job."""
    return SECONDS_A_JOB + SECONDS_AN_EXECUTION * executions


def execution_limit(seconds: float) -> int:
    """Return the QPU seconds after which a job that is estimated at `seconds` is to be stopped.

    Estimates are often too low by some tens of percent; a job that takes three times as long, and a
    minute more, is out of order, and would use up what the plan leaves.
    """
    return min(_MOST_JOB_SECONDS, math.ceil(3 * seconds) + 60)


class Demand(NamedTuple):
    """Parameter sets of one circuit that are to be run.

    Attributes:
        rows: How many.
        bases: Bases that each is measured in.
        layers: Gate layers of the circuit.
        name: The circuit, for messages.
    """

    rows: int
    bases: int = 1
    layers: int = 1
    name: str = ""


def fill_jobs(
    demands: Sequence[Demand], settings: PrimitiveSettings, limits: Limits | None = None
) -> list[list[tuple[int, int]]]:
    """Divide parameter sets among as few jobs as the limits allow, in order.

    Returns:
        For each job, the number of each demand in it and how many of its rows are.

    Raises:
        RequestError: A single parameter set exceeds a limit.
    """
    limits = limits or Limits()
    room = (limits.executions - settings.calibration, limits.instructions)
    jobs: list[list[tuple[int, int]]] = []
    left = (0, 0)
    for number, demand in enumerate(demands):
        _check_fits(demand, settings, limits)
        executions, rows = settings.executions * demand.bases, demand.rows
        cost = (executions, executions * demand.layers)
        while rows:
            fit = min(rows, left[0] // cost[0], left[1] // cost[1])
            if not fit:
                jobs.append([])
                left = room
                continue
            jobs[-1].append((number, fit))
            left = (left[0] - fit * cost[0], left[1] - fit * cost[1])
            rows -= fit
    return jobs


def fits(demand: Demand, settings: PrimitiveSettings, limits: Limits) -> bool:
    """Return whether a job can hold one parameter set."""
    executions = settings.executions * demand.bases
    within = executions + settings.calibration <= limits.executions
    return within and executions * demand.layers <= limits.instructions


def _check_fits(demand: Demand, settings: PrimitiveSettings, limits: Limits) -> None:
    """Refuse a parameter set that no job can hold, and say with how many shots one could."""
    if fits(demand, settings, limits):
        return

    def too_many(shots: int) -> bool:
        return not fits(demand, replace(settings, shots=shots), limits)

    most = bisect(range(1, settings.shots), False, key=too_many)
    circuit = f" of circuit '{demand.name}'" if demand.name else ""
    layers = f" of {demand.layers} gate layers" if demand.layers > 1 else ""
    learnt = (
        f" and {settings.calibration:,} to learn readout errors" if settings.calibration else ""
    )
    raise RequestError(
        f"One parameter set{circuit} takes {settings.executions * demand.bases:,} executions"
        f"{layers} in {demand.bases} measurement bases{learnt}, but a job may "
        f"hold {limits.executions:,} executions and {limits.instructions:,} layers; use fewer "
        f"shots{f', at most {most:,}' if most else ''}, or fewer observables"
    )


def estimate(sizes: Sequence[RoundSize], settings: PrimitiveSettings) -> Bill:
    """Return the bill of one round: one job, more where it exceeds the service's limits.

    Raises:
        RequestError: A single parameter set exceeds them, or a number is not positive.
    """
    _check(sizes, settings)
    demands = [
        Demand(s.circuits * math.ceil(s.parameter_sets / s.copies), s.bases, s.layers)
        for s in sizes
    ]
    worst = least_known(size.success_probability for size in sizes)
    return _bill(demands, settings, sum(s.circuits for s in sizes), worst)


def estimate_stock(sizes: Sequence[RoundSize], settings: PrimitiveSettings) -> Bill:
    """Return the bill of the same round by stock classes.

    A stock EstimatorQNN is a job of its own, with one PUB per observable, unpacked.

    Raises:
        RequestError: A single parameter set exceeds the service's limits.
    """
    _check(sizes, settings)
    return total(
        _bill(
            [Demand(s.parameter_sets * s.observables, layers=s.layers)],
            settings,
            s.observables,
            None,
        ).times(s.circuits)
        for s in sizes
    )


def total(bills: Iterable[Bill]) -> Bill:
    """Return the bill of several rounds, one after the other."""
    listed = list(bills)
    names = ("jobs", "pubs", "executions", "qpu_seconds")
    jobs, pubs, executions, seconds = (sum(getattr(bill, n) for bill in listed) for n in names)
    success = least_known(bill.success_probability for bill in listed)
    return Bill(jobs, pubs, executions, seconds, success)


def calibrated_once(bill: Bill, settings: PrimitiveSettings) -> Bill:
    """Return the bill of a run's rounds where the first job learns the readout errors for all."""
    saved = settings.calibration * (bill.jobs - 1) if settings.keeps_calibration else 0
    seconds = bill.qpu_seconds - saved * SECONDS_AN_EXECUTION
    return replace(bill, executions=bill.executions - saved, qpu_seconds=seconds)


def least_known(figures: Iterable[float | None]) -> float | None:
    """Return the least of the figures that are known, or None where none is."""
    return min((figure for figure in figures if figure is not None), default=None)


def _bill(
    demands: Sequence[Demand], settings: PrimitiveSettings, pubs: int, success: float | None
) -> Bill:
    jobs = max(1, len(fill_jobs(demands, settings)))
    executions = settings.executions * sum(each.rows * each.bases for each in demands)
    executions += jobs * settings.calibration
    seconds = jobs * SECONDS_A_JOB + executions * SECONDS_AN_EXECUTION
    return Bill(jobs, pubs, executions, seconds, success)


def _check(sizes: Sequence[RoundSize], settings: PrimitiveSettings) -> None:
    names = ("parameter_sets", "copies", "observables", "circuits", "bases", "layers")
    numbers = [(name, getattr(size, name)) for size in sizes for name in names]
    for name, value in [("shots", settings.shots), *numbers]:
        if value < 1:
            raise RequestError(f"`{name}` must be at least 1, but is {value}")
