import math
import secrets
from collections.abc import Sequence

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qhybrid_circuits import RequestError
from qhybrid_circuits.caching import Cache, Identity
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_circuits.lowering.targets import with_fractional_gates
from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.device_noise.error_sampler import ErrorSampler, check_seed
from qhybrid_runtime.device_noise.noisy_circuit import with_device_noise
from qhybrid_runtime.device_noise.readout import with_readout_error
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.observables import ObservableSet, observables_key
from qhybrid_runtime.engine.program import compile_program
from qhybrid_runtime.tasks import Estimates, LoweredTask

#: Faulty trajectories that every sample gets: enough to estimate their variance.
_LEAST = 16

#: Trajectories that are evaluated at once: their angles and errors are all in memory.
_LANES = 8192

#: Lowered circuits that an executor keeps prepared.
_KEPT = 64

#: Tuples of observables that it keeps prepared for each of them.
_KEPT_OBSERVABLES = 8


class TrajectoryExecutor:
    """Estimates noisy expectation values from Pauli trajectories of lowered circuits.

    A trajectory is one execution of the circuit with a random Pauli error after some of its gates;
    the engine returns its exact expectation values, so that a few dozen are worth a thousand shots.
    The trajectory without any error is computed once and weighted with its exact probability; the
    others are drawn given that there is an error.

    The noise is that of `DeviceNoise`. Readout errors are part of the observables.

    Attributes:
        target: The target of the QPU that has the noise.
        rounds: Rounds that were run. A round's errors follow from the seed and this number.
    """

    def __init__(
        self,
        target: Target,
        *,
        seed: int | None = None,
        idling: bool = True,
        max_trajectories: int = 1 << 14,
    ) -> None:
        """Prepare to run circuits that were lowered for `target`.

        Gates without calibration data count as free of noise. The seed is the operating system's
        where omitted. Qubits that wait for others relax if `idling`; Aer's own noise model leaves
        this out unless the circuit is scheduled. A sample has at most `max_trajectories` with
        errors.
        """
        check_seed(seed)
        self.target = target
        self.rounds = 0
        self._seed = secrets.randbits(64) if seed is None else seed
        self._idling = idling
        self._bound = max_trajectories
        self._noise: Cache[DeviceNoise] = Cache(2)
        self._prepared: Cache[_Prepared] = Cache(_KEPT)

    def run(self, tasks: Sequence[LoweredTask], precision: float) -> list[Estimates]:
        """Estimate every observable of every sample, to a standard error or `max_trajectories`.

        The number of trajectories follows from the variance among the first ones, so standard
        errors are estimates themselves.

        Raises:
            RequestError: The precision is not positive.
            CircuitError: A circuit was not lowered for the target.
        """
        if not precision > 0:
            raise RequestError(
                f"Precision must be positive, but is {precision}: Pauli trajectories give "
                "estimates; ask for a standard error such as 0.03, or use an exact backend"
            )
        number, self.rounds = self.rounds, self.rounds + 1
        with torch.no_grad():
            return [
                self._estimate(task, precision, np.random.default_rng([self._seed, number, index]))
                for index, task in enumerate(tasks)
            ]

    def _estimate(self, task: LoweredTask, precision: float, rng: np.random.Generator) -> Estimates:
        lowered, idling = task.lowered, self._idling
        circuit = self._prepared.get(
            Identity(lowered),
            lambda: _Prepared(lowered, self._noise_of(lowered.fractional), idling=idling),
        )
        observables = circuit.observed(task.observables)
        inputs = np.asarray(task.inputs, dtype=np.float32)
        perfect = circuit.values(observables, inputs, None)
        # The share of trajectories with errors.
        share = circuit.sampler.error_probability
        moments = _Moments(perfect.shape)
        rows, extra = np.arange(len(inputs) if share else 0), _LEAST
        while len(rows):
            for lanes in np.array_split(np.tile(rows, extra), -(-len(rows) * extra // _LANES)):
                codes = circuit.sampler.draw_faulty(len(lanes), rng)
                values = circuit.values(observables, inputs[lanes], codes)
                moments.add(lanes, values - perfect[lanes])
            rows, extra = self._lacking(moments, precision / share)
        values = perfect + share * moments.mean
        return Estimates(values, share * moments.standard_error)

    def _lacking(self, moments: "_Moments", precision: float) -> tuple[np.ndarray, int]:
        """Return the samples that need more trajectories, and how many more."""
        few = np.any(moments.standard_error > precision, axis=1)
        # A sample's number must not follow from its own first values, which would bias their mean.
        everyone = moments.count.max() == _LEAST and few.any()
        rows = np.flatnonzero((few | everyone) & (moments.count < self._bound))
        if not len(rows):
            return rows, 0
        wanted = math.ceil(moments.variance[rows].mean(axis=0).max() / precision**2)
        count = int(moments.count[rows].max())
        return rows, min(max(wanted - count, _LEAST), self._bound - count)

    def _noise_of(self, fractional: bool) -> DeviceNoise:
        target = self.target
        return self._noise.get(
            fractional, lambda: DeviceNoise(with_fractional_gates(target) if fractional else target)
        )


class _Prepared:
    """A lowered circuit, compiled with its error sites."""

    def __init__(self, lowered: LoweredCircuit, noise: DeviceNoise, *, idling: bool) -> None:
        circuit, self._layout = lowered.compact()
        noisy = with_device_noise(circuit, noise, lowered.qubits, idling=idling)
        self.sampler = ErrorSampler(noisy.locations, noisy.num_sites)
        self._program = compile_program(noisy.circuit, inputs=circuit.parameters)
        self._confusion = {qubit: noise.confusion(lowered.qubits[qubit]) for qubit in self._layout}
        self._observed: Cache[ObservableSet] = Cache(_KEPT_OBSERVABLES)

    def observed(self, observables: Sequence[SparsePauliOp]) -> ObservableSet:
        """Return logical observables, placed on the circuit's qubits, with readout errors."""
        width = self._program.num_qubits

        def observed() -> ObservableSet:
            placed = (o.apply_layout(list(self._layout), width) for o in observables)
            return ObservableSet([with_readout_error(o, self._confusion) for o in placed], width)

        return self._observed.get(observables_key(observables), observed)

    def values(
        self, observables: ObservableSet, inputs: np.ndarray, codes: np.ndarray | None
    ) -> np.ndarray:
        """Return (N, n_obs) for inputs (N, n_parameters) and errors (N, n_sites), if any."""
        errors = None if codes is None else torch.as_tensor(codes)
        rows, nothing = torch.as_tensor(inputs), torch.empty(0)
        values = expectations(self._program, observables, rows, nothing, errors=errors)
        return np.asarray(values.double())


class _Moments:
    """Running sums of the differences of each sample's trajectories from the perfect one."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = np.zeros(shape[0], dtype=np.int64)
        self._sum, self._squares = np.zeros(shape), np.zeros(shape)

    def add(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Add values (n, n_obs), each of the sample that `rows` (n,) tells."""
        np.add.at(self.count, rows, 1)
        np.add.at(self._sum, rows, values)
        np.add.at(self._squares, rows, values**2)

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(self._sum / self.count.clip(min=1)[:, None])

    @property
    def variance(self) -> np.ndarray:
        """The variance of a single trajectory, shape (N, n_obs)."""
        squares = self._squares - self._sum * self.mean
        return np.asarray(squares.clip(min=0) / (self.count[:, None] - 1).clip(min=1))

    @property
    def standard_error(self) -> np.ndarray:
        """The standard error of the mean, shape (N, n_obs)."""
        return np.asarray(np.sqrt(self.variance / self.count.clip(min=1)[:, None]))
