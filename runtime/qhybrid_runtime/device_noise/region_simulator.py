from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.random import Generator
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Measure, Parameter
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator

from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.device_noise.error_sampler import ErrorSampler
from qhybrid_runtime.device_noise.noisy_circuit import NoisyCircuit, with_device_noise
from qhybrid_runtime.device_noise.two_qubit_runs import connected_qubits
from qhybrid_runtime.engine.program import compile_program
from qhybrid_runtime.engine.readings import draw_readings

#: Qubits up to which every shot with an error is a trajectory of its own.
_FEW_QUBITS = 6

#: Shots with an error that share a trajectory on more qubits.
_SHARED_SHOTS = 8

Binds = Mapping[Parameter, Sequence[float]]

#: Each parameter's value in each row.
_Values = Mapping[Parameter, np.ndarray]


class RegionSimulator(AerSimulator):  # type: ignore[misc]
    """A simulator of lowered circuits on a noisy QPU for qiskit-ibm-runtime's local mode.

    Local mode hands circuits to Aer, which simulates all qubits of a circuit as one state and
    every shot from its start: half a minute for 12 qubits, and impossible for a QPU full of
    circuits side by side. Here qubits that no gate connects are simulated apart, and our engine
    simulates their trajectories: the one without any error once, whatever the number of shots that
    it serves, and those with errors in groups of eight shots (one by one on six qubits or fewer).

    Shots of a group are independent draws from one state, so they are slightly correlated where
    errors are frequent; means are not biased. The noise is that of `DeviceNoise`.
    """

    def __init__(self, target: Target, *, idling: bool = True) -> None:
        """Prepare to simulate circuits in the gates of `target`, with relaxation of idling qubits.

        Gates without calibration data count as free of noise.
        """
        super().__init__(method="statevector")
        self._lowered_for = target
        self._noise = DeviceNoise(target)
        self._idling = idling

    def __deepcopy__(self, memo: dict[int, Any]) -> "RegionSimulator":
        # Local mode copies the simulator in order to set options that mean nothing here.
        return RegionSimulator(self._lowered_for, idling=self._idling)

    @property
    def target(self) -> Target:
        """The target that circuits are scheduled for."""
        return self._lowered_for

    def run(
        self,
        run_input: Sequence[QuantumCircuit],
        parameter_binds: Sequence[Binds] | None = None,
        **options: Any,
    ) -> SimpleNamespace:
        """Simulate circuits that measure at their end, and keep the memory of every shot.

        `parameter_binds` holds each parameter's values for each circuit, a number per row; of the
        options, `shots` and `seed_simulator` are used.
        """
        rng = np.random.default_rng(options.get("seed_simulator"))
        shots = int(options.get("shots") or 1024)
        binds = parameter_binds or [{} for _ in run_input]
        done: dict[str, Any] = {"success": True, "status": "DONE"}
        results = [
            ExperimentResult(shots, data=ExperimentResultData(memory=_as_hex(row)), **done)
            for circuit, values in zip(run_input, binds, strict=True)
            for row in self._bits(circuit, values, shots, rng)
        ]
        outcome = Result(backend_name=self.name, results=results, metadata={}, **done)
        return SimpleNamespace(result=lambda: outcome)

    def _bits(
        self, circuit: QuantumCircuit, binds: Binds, shots: int, rng: Generator
    ) -> np.ndarray:
        """Return the classical bits of every shot, shape (n_rows, shots, n_clbits)."""
        values = {p: np.asarray(column, dtype=float) for p, column in binds.items()}
        rows = len(next(iter(values.values()))) if values else 1
        bits = np.zeros((rows, shots, circuit.num_clbits), dtype=bool)
        for region in _regions(circuit):
            ideal, places, idling = region.circuit, region.qubits, self._idling
            noisy = with_device_noise(ideal, self._noise, places, idling=idling)
            own = {p: values[p] for p in ideal.parameters}
            read = _States(ideal, noisy, own, rows).sample(shots, rng)
            for qubit, clbit in region.measured:
                true, confusion = read[..., qubit], self._noise.confusion(places[qubit])
                wrong = np.where(true, confusion[1, 0], confusion[0, 1])
                bits[..., clbit] = true ^ (rng.random(true.shape) < wrong)
        return bits


@dataclass(frozen=True, eq=False)
class _Region:
    """Some qubits of a circuit that no gate connects with the others.

    Attributes:
        circuit: Their gates, without measurements.
        qubits: Their numbers on the QPU.
        measured: Pairs of a qubit of `circuit` and the classical bit that it is read into.
    """

    circuit: QuantumCircuit
    qubits: tuple[int, ...]
    measured: tuple[tuple[int, int], ...]


class _States:
    """Samples of a circuit's states with and without errors."""

    def __init__(
        self, ideal: QuantumCircuit, noisy: NoisyCircuit, values: _Values, rows: int
    ) -> None:
        parameters = tuple(ideal.parameters)
        self._program = compile_program(noisy.circuit, inputs=parameters)
        columns = [values[parameter] for parameter in parameters]
        self._inputs = np.array(columns, dtype=np.float32).reshape(len(columns), rows).T
        self._errors = ErrorSampler(noisy.locations, noisy.num_sites)
        self._shared = _SHARED_SHOTS if ideal.num_qubits > _FEW_QUBITS else 1

    def sample(self, shots: int, rng: Generator) -> np.ndarray:
        """Return the bits of ideal readout, shape (n_rows, shots, n_qubits)."""
        rows = len(self._inputs)
        bits = np.empty((rows, shots, self._program.num_qubits), dtype=bool)
        chance = self._errors.error_probability if self._errors.num_sites else 0.0
        faulty = rng.binomial(shots, chance, size=rows)
        clean = shots - faulty
        if clean.max():
            none = np.zeros((rows, self._errors.num_sites), dtype=np.uint8)
            drawn = draw_readings(self._program, self._inputs, none, int(clean.max()), rng)
            for row, count in enumerate(clean):
                bits[row, :count] = drawn[row, :count]
        owner = np.repeat(np.arange(rows), -(-faulty // self._shared))
        if len(owner):
            codes = self._errors.draw_faulty(len(owner), rng)
            inputs = self._inputs[owner]
            drawn = draw_readings(self._program, inputs, codes, self._shared, rng)
            for row, count in enumerate(faulty):
                mine = drawn[owner == row].reshape(-1, bits.shape[-1])
                bits[row, clean[row] :] = mine[:count]
        # Regions are joined shot by shot: shots without errors must not all come first.
        order = rng.permuted(np.tile(np.arange(shots), (rows, 1)), axis=1)
        return np.asarray(np.take_along_axis(bits, order[..., None], axis=1))


def _regions(circuit: QuantumCircuit) -> list[_Region]:
    """Return the parts of a circuit that are measured, each of as few qubits as possible.

    Parts that are small are joined, as long as they stay small: a run has a cost of its own.
    """
    read: dict[int, list[int]] = {}
    for item in circuit.data:
        if isinstance(item.operation, Measure):
            (qubit,), (clbit,) = item.qubits, item.clbits
            read.setdefault(circuit.find_bit(qubit).index, []).append(circuit.find_bit(clbit).index)
    kept = [part for part in connected_qubits(circuit) if any(qubit in read for qubit in part)]
    return [_region(circuit, qubits, read) for qubits in _joined(kept)]


def _joined(groups: Sequence[list[int]]) -> list[list[int]]:
    joined: list[list[int]] = []
    for group in sorted(groups, key=len, reverse=True):
        for part in joined:
            if len(part) + len(group) <= _FEW_QUBITS:
                part.extend(group)
                break
        else:
            joined.append(list(group))
    return [sorted(part) for part in joined]


def _region(
    circuit: QuantumCircuit, qubits: Sequence[int], read: Mapping[int, Sequence[int]]
) -> _Region:
    position = {qubit: index for index, qubit in enumerate(qubits)}
    small = QuantumCircuit(len(qubits))
    for item in circuit.data:
        if isinstance(item.operation, Barrier | Measure):
            continue
        places = [circuit.find_bit(bit).index for bit in item.qubits]
        if places[0] in position:
            small.append(item.operation, [position[place] for place in places], copy=False)
    measured = tuple((position[q], clbit) for q in qubits for clbit in read.get(q, ()))
    return _Region(small, tuple(qubits), measured)


def _as_hex(bits: np.ndarray) -> list[str]:
    """Return each shot's classical bits (shots, n_clbits) as Aer writes them, bit 0 last."""
    padded = np.pad(bits[:, ::-1], ((0, 0), (-bits.shape[1] % 8, 0)))
    packed = np.packbits(padded, axis=1)
    return [f"0x{row.tobytes().hex()}" for row in packed]
