"""Attribute the device noise of a lowered circuit to the logical gates."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import DCXGate

from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.device_noise.channels import PauliChannel
from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.device_noise.noisy_circuit import FaultLocation, noise_after, waiting_times
from qhybrid_runtime.device_noise.two_qubit_runs import (
    GateRun,
    connected_qubits,
    locally_equal,
    swapped,
    two_qubit_runs,
)

#: A Pauli channel, and the site of each of its qubits; -1 where the qubit holds nothing.
_Fault = tuple[PauliChannel, tuple[int, ...]]

_Wires = Sequence[Sequence[int]]

#: Takes |x>|0> to |0>|x> with two gates instead of a swap's three.
_MOVE = DCXGate().to_matrix()


class _UnreadableError(Exception):
    """The lowered circuit is not made of the logical runs and of swaps."""


def attribute_noise(
    runs: Sequence[GateRun], wires: _Wires, lowered: LoweredCircuit, noise: DeviceNoise
) -> list[FaultLocation]:
    """Return the noise of a lowered circuit as faults after the logical circuit's runs.

    The lowered circuit is read from its end, where the layout is known, to its start. The local
    invariants of each run of physical gates show whether it is the pair's next logical run, that
    run followed by a swap, or a swap alone, which takes two gates where one qubit is still in |0>.
    So the logical qubit that a physical one holds is known at every moment. The noise of a physical
    gate then strikes after the last logical run of its qubits, that of a run's own gates after the
    run. Neglected are changes of an error by the rest of its run, or by runs whose order was
    changed because they commute, and errors of qubits that hold nothing.

    A lowered circuit that cannot be read like this, because several runs were made into others, has
    its noise spread evenly: within each part of qubits that act on each other every run is followed
    by the same depolarizing channel, and the probability of no error is kept.

    None of the logical circuit's runs are local. `wires` are each logical qubit's error sites,
    ascending: one after each of its runs, or a single one where it has no run. The lowered circuit
    has the same numbers for all its parameters.
    """
    circuit, layout = lowered.compact()
    waits = waiting_times(circuit, noise, lowered.qubits)
    channels = [
        noise_after(instruction, circuit, noise, lowered.qubits, waits[number])
        for number, instruction in enumerate(circuit.data)
    ]
    try:
        faults = list(_Reader(runs, wires, circuit, layout).faults(channels))
    except _UnreadableError:
        faults = _spread(runs, wires, circuit, layout, channels)
    return _merged(faults)


class _Reader:
    """Reads a lowered circuit from its end to its start."""

    def __init__(
        self, runs: Sequence[GateRun], wires: _Wires, circuit: QuantumCircuit, layout: Sequence[int]
    ) -> None:
        self._wires, self._circuit = wires, circuit
        # The logical qubit that each physical one holds, and the runs of each logical qubit that
        # are not read yet, each with its number on the qubit.
        self._holds: dict[int, int] = {physical: q for q, physical in enumerate(layout)}
        self._left: list[dict[GateRun, int]] = [{} for _ in layout]
        for run in runs:
            for qubit in run.qubits:
                self._left[qubit][run] = len(self._left[qubit])

    def faults(self, channels: Sequence[PauliChannel | None]) -> Iterator[_Fault]:
        """Yield the noise of all instructions, the last one's first.

        Raises:
            _UnreadableError: A run is neither the next logical one nor a swap.
        """
        runs = two_qubit_runs(self._circuit)
        begins = {run.members[0]: run for run in runs}
        ends = {run.members[-1]: run for run in runs}
        meanings: dict[GateRun, tuple[GateRun | None, bool]] = {}
        for number in reversed(range(len(self._circuit.data))):
            if number in ends:
                meanings[ends[number]] = self._meaning(ends[number])
            channel = channels[number]
            if channel is not None:
                bits = self._circuit.data[number].qubits
                yield channel, tuple(self._site(self._circuit.find_bit(bit).index) for bit in bits)
            if number in begins:
                self._undo(begins[number], *meanings.pop(begins[number]))
        if any(self._left):
            raise _UnreadableError

    def _meaning(self, physical: GateRun) -> tuple[GateRun | None, bool]:
        """Return the logical run that a physical one is, if any, and whether it swaps."""
        first, second = (self._holds.get(qubit) for qubit in physical.qubits)
        if first is not None and second is not None:
            shared = [run for run in self._left[first] if run in self._left[second]]
            for swaps in (False, True) if shared else ():
                unitary = swapped(shared[-1].unitary) if swaps else shared[-1].unitary
                if locally_equal(physical.unitary, unitary):
                    return shared[-1], swaps
        if locally_equal(physical.unitary, swapped(np.eye(4))):
            return None, True
        fresh = any(qubit is None or not self._left[qubit] for qubit in (first, second))
        if fresh and locally_equal(physical.unitary, _MOVE):
            return None, True
        if physical.is_local:
            return None, False
        raise _UnreadableError

    def _undo(self, physical: GateRun, logical: GateRun | None, swaps: bool) -> None:
        if logical is not None:
            for qubit in logical.qubits:
                del self._left[qubit][logical]
        if swaps:
            first, second = physical.qubits
            held = {first: self._holds.pop(second, None), second: self._holds.pop(first, None)}
            self._holds.update({place: q for place, q in held.items() if q is not None})

    def _site(self, physical: int) -> int:
        qubit = self._holds.get(physical)
        if qubit is None:
            return -1
        # Noise before a qubit's first run is attributed to that run.
        left = self._left[qubit]
        return self._wires[qubit][next(reversed(left.values())) if left else 0]


def _spread(
    runs: Sequence[GateRun],
    wires: _Wires,
    circuit: QuantumCircuit,
    layout: Sequence[int],
    channels: Sequence[PauliChannel | None],
) -> list[_Fault]:
    connected = enumerate(connected_qubits(circuit))
    part_of = {qubit: number for number, part in connected for qubit in part}
    survived: dict[int, float] = defaultdict(float)
    for instruction, channel in zip(circuit.data, channels, strict=True):
        if channel is not None:
            part = part_of[circuit.find_bit(instruction.qubits[0]).index]
            survived[part] += float(np.log1p(-channel.error_probability))
    parts = [part_of[layout[run.qubits[0]]] for run in runs]
    used = [0] * len(wires)
    faults: list[_Fault] = []
    for run, part in zip(runs, parts, strict=True):
        error = -np.expm1(survived[part] / parts.count(part))
        # All 15 strings are equally likely, each of which anticommutes with 8 of them.
        channel = PauliChannel(np.array([1.0] + [1 - error * 16 / 15] * 15))
        faults.append((channel, tuple(wires[qubit][used[qubit]] for qubit in run.qubits)))
        for qubit in run.qubits:
            used[qubit] += 1
    return faults


def _merged(faults: Sequence[_Fault]) -> list[FaultLocation]:
    """Return one location for all faults that share their sites."""
    found: dict[tuple[int, ...], PauliChannel] = {}
    for channel, places in faults:
        sites = tuple(sorted(site for site in places if site >= 0))
        if sites:
            kept = channel.on([sites.index(p) if p >= 0 else -1 for p in places], len(sites))
            found[sites] = found[sites].then(kept) if sites in found else kept
    return [FaultLocation(sites, found[sites]) for sites in sorted(found)]
