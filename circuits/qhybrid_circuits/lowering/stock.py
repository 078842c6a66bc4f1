from collections.abc import Iterable, Sequence
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target, generate_preset_pass_manager
from qiskit.transpiler.exceptions import TranspilerError

from qhybrid_circuits.lowering.cost.couplings import Couplings
from qhybrid_circuits.lowering.lowered import Candidate
from qhybrid_circuits.lowering.placement.placements import find_placements, move, pattern_of
from qhybrid_circuits.lowering.targets import part_of_target

#: A device of up to this many times the circuit's qubits is given to the pass manager whole.
_WHOLE = 2

#: Qubits beyond those that the pass manager is given of a larger device.
_EXTRA = 4

#: Qiskit's passes that add swaps for the couplings' sake.
_ROUTING_PASSES = ("SabreLayout", "SabreSwap")

#: Placements of each result whose success is computed.
_EXACT = 8


def stock_candidates(
    circuit: QuantumCircuit,
    devices: tuple[Couplings, Couplings],
    target: Target,
    seeds: Sequence[int],
    measured: Sequence[int],
) -> list[Candidate]:
    """Lower by Qiskit's own passes, and move each result to the places that promise most.

    The second of `devices` is taken where the circuit's parts do not fit on the first.
    """
    device = devices[0]
    try:
        found = _candidates(circuit, target, device, seeds)
    except TranspilerError:
        device = devices[1]
        found = _candidates(circuit, target, device, seeds)
    candidates = []
    for candidate in found:
        candidates.append(candidate)
        lowered, final, swaps = candidate
        qubits = used_qubits(lowered, final)
        pattern = pattern_of(lowered, qubits, [final[qubit] for qubit in measured])
        for place in find_placements(pattern, device)[:_EXACT]:
            at = dict(zip(qubits, place, strict=True))
            moved = move(lowered, qubits, place, target)
            candidates.append(Candidate(moved, tuple(at[q] for q in final), swaps))
    return candidates


def used_qubits(circuit: QuantumCircuit, final: Iterable[int]) -> tuple[int, ...]:
    acting = {circuit.find_bit(bit).index for item in circuit.data for bit in item.qubits}
    return tuple(sorted(acting | set(final)))


def _candidates(
    circuit: QuantumCircuit, target: Target, device: Couplings, seeds: Iterable[int]
) -> list[Candidate]:
    """Lower a circuit by Qiskit's own pass manager at its highest level, once a seed.

    Of a large device it sees a part around the middle: its search for a better place of circuits
    that fall into unconnected parts takes minutes on a whole one.

    Returns:
        One for each seed.
    """
    part = _middle(device, circuit.num_qubits)
    small = part_of_target(target, part, pairs=device.gate)
    found = []
    for seed in seeds:
        manager = generate_preset_pass_manager(3, target=small, seed_transpiler=seed)
        counter = _SwapCounter(circuit.count_ops().get("swap", 0))
        lowered = manager.run(circuit, callback=counter)
        final = tuple(part[qubit] for qubit in lowered.layout.final_index_layout())
        wide = QuantumCircuit(device.num_qubits, global_phase=lowered.global_phase)
        for item in lowered.data:
            place = [part[lowered.find_bit(bit).index] for bit in item.qubits]
            wide.append(item.operation, place, copy=False)
        found.append(Candidate(wide, final, counter.added))
    return found


class _SwapCounter:
    """Called by a pass manager after each pass."""

    def __init__(self, swaps: int) -> None:
        self.before = swaps
        self.added = 0

    def __call__(self, **after: Any) -> None:
        swaps = after["dag"].count_ops().get("swap", 0)
        if after["pass_"].name() in _ROUTING_PASSES:
            self.added += max(0, swaps - self.before)
        self.before = swaps


def _middle(device: Couplings, least: int) -> Sequence[int]:
    """Return qubits of the largest connected part, if that has enough, nearest to its middle."""
    size = _WHOLE * least + _EXTRA
    if not device.excluded and size >= device.num_qubits:
        return range(device.num_qubits)
    distance = device.distance()
    connected = [sum(d < device.num_qubits for d in row) for row in distance]
    middle = max(
        range(device.num_qubits),
        key=lambda q: (connected[q], -sum(min(d, device.num_qubits) for d in distance[q])),
    )
    nearest = sorted(range(device.num_qubits), key=lambda q: distance[middle][q])
    return sorted(nearest[: min(size, max(least, connected[middle]))])
