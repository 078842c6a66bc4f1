from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import PassManager, Target, generate_preset_pass_manager
from qiskit.transpiler.exceptions import TranspilerError
from qiskit.transpiler.passes import WrapAngles

from qhybrid_circuits.lowering.cost.couplings import Couplings, interactions, largest_part
from qhybrid_circuits.lowering.lowered import Candidate
from qhybrid_circuits.lowering.placement.placements import find_placements, move, pattern_of
from qhybrid_circuits.lowering.rzz_folding import FOLDING
from qhybrid_circuits.lowering.targets import part_of_target
from qhybrid_circuits.plain import used_qubits

#: Times the qubits of a circuit that falls into parts, and qubits besides, that the pass manager is
#: given of a larger QPU.
_ROOM, _EXTRA = 2, 4

#: Qiskit's passes that add swaps for the couplings' sake.
_ROUTING_PASSES = ("SabreLayout", "SabreSwap")

#: Placements of each result whose success is computed.
_EXACT = 8


def preset_candidates(
    circuit: QuantumCircuit,
    couplings: Couplings,
    reserve: Couplings,
    target: Target,
    seeds: Sequence[int],
    measured: Sequence[int],
) -> list[Candidate]:
    """Lower by Qiskit's own passes, and move each result to the places of highest success.

    There is one attempt a seed; `reserve` is taken where the circuit does not fit on `couplings`.
    """
    found, couplings = _where_it_fits(circuit, couplings, reserve, target, seeds)
    candidates = []
    for candidate in found:
        candidates.append(candidate)
        lowered, final, swaps = candidate
        qubits = used_qubits(lowered, final)
        pattern = pattern_of(lowered, qubits, [final[qubit] for qubit in measured])
        for place in find_placements(pattern, couplings)[:_EXACT]:
            at = dict(zip(qubits, place, strict=True))
            moved = move(lowered, qubits, place, target)
            candidates.append(Candidate(moved, tuple(at[q] for q in final), swaps))
    return candidates


def better_seeds(
    circuit: QuantumCircuit,
    couplings: Couplings,
    reserve: Couplings,
    target: Target,
    seeds: Sequence[int],
    least: int,
) -> list[int]:
    """Return the seed with which Qiskit's own passes need the fewest two-qubit gates.

    None where these are not fewer than `least`.
    """
    found, _ = _where_it_fits(circuit, couplings, reserve, target, seeds)
    gates = [each.circuit.num_nonlocal_gates() for each in found]
    return [seeds[gates.index(min(gates))]] if min(gates) < least else []


def _where_it_fits(
    circuit: QuantumCircuit,
    couplings: Couplings,
    reserve: Couplings,
    target: Target,
    seeds: Sequence[int],
) -> tuple[list[Candidate], Couplings]:
    try:
        return _candidates(circuit, target, couplings, seeds), couplings
    except TranspilerError:
        return _candidates(circuit, target, reserve, seeds), reserve


def _candidates(
    circuit: QuantumCircuit, target: Target, couplings: Couplings, seeds: Iterable[int]
) -> list[Candidate]:
    """Return a circuit lowered by Qiskit's own pass manager at its highest level, once a seed.

    For circuits that fall into parts it is given a part of a large QPU, around the middle: its
    search for a better place of such circuits takes minutes on a whole one.
    """
    joined = largest_part(interactions(circuit)) == circuit.num_qubits
    size = couplings.num_qubits if joined else _ROOM * circuit.num_qubits + _EXTRA
    part = _middle(couplings, circuit.num_qubits, size)
    small = part_of_target(target, part, pairs=couplings.gate)
    found = []
    for seed in seeds:
        manager = generate_preset_pass_manager(3, target=small, seed_transpiler=seed)
        for task in passes_of(manager):
            if isinstance(task, WrapAngles):
                task.registry = FOLDING
        counter = _SwapCounter(circuit.count_ops().get("swap", 0))
        lowered = manager.run(circuit, callback=counter)
        # Where every qubit is coupled to every other one, Qiskit chooses no layout.
        places = part[: lowered.num_qubits]
        order = lowered.layout.final_index_layout() if lowered.layout else range(len(places))
        final = tuple(places[qubit] for qubit in order)
        wide = QuantumCircuit(couplings.num_qubits)
        wide.compose(lowered, places, inplace=True, copy=False)
        found.append(Candidate(wide, final, counter.added))
    return found


def passes_of(manager: PassManager) -> Iterator[Any]:
    """Yield all passes of a pass manager, those of its inner controllers too."""
    yield from _tasks(manager.to_flow_controller())


def _tasks(controller: Any) -> Iterator[Any]:
    for task in getattr(controller, "tasks", ()):
        yield task
        yield from _tasks(task)


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


def _middle(couplings: Couplings, least: int, size: int) -> Sequence[int]:
    """Return qubits of the largest connected part, if that has enough, nearest to its middle."""
    if not couplings.excluded and size >= couplings.num_qubits:
        return range(couplings.num_qubits)
    distance = couplings.distance()
    connected = [sum(d < couplings.num_qubits for d in row) for row in distance]
    middle = max(
        range(couplings.num_qubits),
        key=lambda q: (connected[q], -sum(min(d, couplings.num_qubits) for d in distance[q])),
    )
    nearest = sorted(range(couplings.num_qubits), key=lambda q: distance[middle][q])
    return sorted(nearest[: min(size, max(least, connected[middle]))])
