"""Search for the qubits of a QPU on which a lowered circuit has the highest success."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import PassManager, Target
from qiskit.transpiler.passes import GateDirection

from qhybrid_circuits.lowering.blocks.synthesis import to_target_gates
from qhybrid_circuits.lowering.cost.couplings import Couplings

#: Physical qubit of each vertex of a pattern.
Placement = tuple[int, ...]


@dataclass(frozen=True)
class Pattern:
    """The operations of a circuit on each pair and qubit, which its success at a place depends on.

    Attributes:
        gates: Two-qubit gates on each pair of vertices.
        pulses: One-qubit pulses on each vertex.
        idle: Two-qubit layers that each vertex waits after its first gate.
        measured: The vertices that are measured.
    """

    gates: dict[tuple[int, int], int]
    pulses: tuple[int, ...]
    idle: tuple[int, ...]
    measured: frozenset[int]


def pattern_of(circuit: QuantumCircuit, qubits: Sequence[int], measured: Iterable[int]) -> Pattern:
    """Return a lowered circuit's pattern, whose vertex k is the physical `qubits[k]`."""
    vertex = {qubit: index for index, qubit in enumerate(qubits)}
    pairs: list[tuple[Sequence[int], int]] = []
    pulses = [0] * len(qubits)
    for item in circuit.data:
        place = [vertex[circuit.find_bit(bit).index] for bit in item.qubits]
        if len(place) == 2:
            pairs.append((place, 1))
        elif item.operation.name not in ("rz", "barrier"):
            pulses[place[0]] += 1
    gates, _, idle = count_pairs(pairs, len(qubits))
    measured = frozenset(vertex[qubit] for qubit in measured)
    return Pattern(gates, tuple(pulses), idle, measured)


def count_pairs(
    pairs: Sequence[tuple[Sequence[int], int]], size: int
) -> tuple[dict[tuple[int, int], int], tuple[int, ...], tuple[int, ...]]:
    """Count two-qubit gates, given as pairs of vertices with the number of gates, in order.

    Returns:
        The gates on each ascending pair, those on each vertex, and the layers that each waits.
    """
    gates: Counter[tuple[int, int]] = Counter()
    layers, busy = [0] * size, [0] * size
    # From the end: gates start as late as possible, and no qubit waits before its first one.
    for (u, v), count in reversed(pairs):
        gates[min(u, v), max(u, v)] += count
        layers[u] = layers[v] = count + max(layers[u], layers[v])
        busy[u] += count
        busy[v] += count
    idle = tuple(layer - own for layer, own in zip(layers, busy, strict=True))
    return dict(gates), tuple(busy), idle


def find_placements(
    pattern: Pattern,
    couplings: Couplings,
    *,
    width: int = 400,
    per_anchor: int | None = None,
    forbidden: int = 0,
) -> list[Placement]:
    """Find places on a QPU that have the couplings of a pattern, best estimated success first.

    A beam search: the vertices are placed one after the other, and the best `width` partial
    placements are kept. Of those, `per_anchor` may place the pattern's busiest vertex on the same
    qubit: a small number spreads them over the QPU. Bits of `forbidden` are physical qubits that
    must not be used.
    """
    order = _order(pattern)
    slot = {vertex: index for index, vertex in enumerate(order)}
    forbidden |= sum(1 << qubit for qubit in couplings.excluded)
    partial: list[tuple[float, int, Placement]] = [(0.0, forbidden, ())]
    for vertex in order:
        joined = _joined(pattern, vertex, slot)
        alone = pattern.pulses[vertex], pattern.idle[vertex], vertex in pattern.measured
        quality = [
            alone[0] * couplings.single[q]
            + alone[1] * couplings.idle[q]
            + alone[2] * couplings.readout[q]
            for q in range(couplings.num_qubits)
        ]
        longer: list[tuple[float, int, Placement]] = []
        for score, used, placed in partial:
            candidates: Iterable[int] = range(couplings.num_qubits)
            if joined:
                candidates = couplings.neighbours[placed[joined[0][0]]]
            for qubit in candidates:
                if used >> qubit & 1:
                    continue
                total = score + quality[qubit]
                for index, count in joined:
                    other = placed[index]
                    gate = couplings.gate.get((qubit, other) if qubit < other else (other, qubit))
                    if gate is None:
                        break
                    total += count * gate
                else:
                    longer.append((total, used | 1 << qubit, (*placed, qubit)))
        longer.sort(key=lambda each: -each[0])
        partial = (longer if per_anchor is None else _spread(longer, per_anchor))[:width]
    return [tuple(placed[slot[v]] for v in range(len(order))) for _, _, placed in partial]


def placement_score(pattern: Pattern, couplings: Couplings, place: Sequence[int]) -> float:
    """Return the logarithm of the estimated success of a pattern at a place."""
    score = sum(
        count * couplings.gate[min(place[u], place[v]), max(place[u], place[v])]
        for (u, v), count in pattern.gates.items()
    )
    for vertex, qubit in enumerate(place):
        score += pattern.pulses[vertex] * couplings.single[qubit]
        score += pattern.idle[vertex] * couplings.idle[qubit]
        score += (vertex in pattern.measured) * couplings.readout[qubit]
    return score


def move(
    circuit: QuantumCircuit, qubits: Sequence[int], placement: Sequence[int], target: Target
) -> QuantumCircuit:
    """Return a lowered circuit on other physical qubits: `qubits[k]` moves to `placement[k]`."""
    where = dict(zip(qubits, placement, strict=True))
    moved = QuantumCircuit(circuit.num_qubits, name=circuit.name, global_phase=circuit.global_phase)
    supported = True
    for item in circuit.data:
        place = [where[circuit.find_bit(bit).index] for bit in item.qubits]
        moved.append(item.operation, place, copy=False)
        if len(place) == 2:
            supported &= target.instruction_supported(item.operation.name, tuple(place))
    if not supported:
        moved = to_target_gates(PassManager([GateDirection(None, target)]).run(moved), target)
    return moved


def _spread(
    partial: list[tuple[float, int, Placement]], per_anchor: int
) -> list[tuple[float, int, Placement]]:
    """Keep the first few on each qubit of the first vertex, and one of each set of qubits."""
    count: Counter[int] = Counter()
    seen: set[int] = set()
    kept = []
    for each in partial:
        anchor = each[2][0]
        if count[anchor] < per_anchor and each[1] not in seen:
            count[anchor] += 1
            seen.add(each[1])
            kept.append(each)
    return kept


def _order(pattern: Pattern) -> list[int]:
    """Return the vertices, the busiest first, then always the one with most earlier neighbours."""
    left = dict.fromkeys(range(len(pattern.pulses)), 0)
    weight = dict(left)
    for pair, count in pattern.gates.items():
        for vertex in pair:
            weight[vertex] += count
    order: list[int] = []
    while left:
        vertex = max(left, key=lambda v: (left[v], weight[v]))
        del left[vertex]
        order.append(vertex)
        for pair in pattern.gates:
            if vertex in pair:
                other = pair[0] if pair[1] == vertex else pair[1]
                if other in left:
                    left[other] += 1
    return order


def _joined(pattern: Pattern, vertex: int, slot: dict[int, int]) -> list[tuple[int, int]]:
    """Return (slot, gates) for every earlier vertex that has gates with this one."""
    found = []
    for pair, count in pattern.gates.items():
        if vertex in pair:
            other = pair[0] if pair[1] == vertex else pair[1]
            if slot[other] < slot[vertex]:
                found.append((slot[other], count))
    return found
