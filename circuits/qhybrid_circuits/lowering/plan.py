"""The part of lowering that depends on a circuit's structure and not on its weights."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from qhybrid_circuits.lowering.blocks.collect import SWAP, BlockCircuit, interaction_count
from qhybrid_circuits.lowering.cost.couplings import Couplings
from qhybrid_circuits.lowering.cost.success import success_probability
from qhybrid_circuits.lowering.placement.placements import (
    Pattern,
    count_pairs,
    find_placements,
    placement_score,
)
from qhybrid_circuits.lowering.routing.assembly import Assembly, synthesize
from qhybrid_circuits.lowering.routing.problem import Routing, RoutingProblem

#: Placements whose ESP is computed from the circuit itself: of one routing, and of all routings
#: with the same gates and depth.
_EXACT, _EXACT_ALIKE = 6, 6

T = TypeVar("T")

#: What the best of several lowered circuits is: the one of the highest ESP, or of the fewest gates.
Preference = Literal["success", "gates"]

#: Fraction of the best ESP that one with fewer gates must have. Calibrations change by more than
#: 4 % from day to day, gates do not.
WORTH: Mapping[Preference, float] = {"success": 0.96, "gates": 0.0}


@dataclass(frozen=True)
class LoweringPlan:
    """How a circuit's blocks run on a QPU.

    Attributes:
        routing: Blocks and swaps on the vertices of the QPU.
        where: Physical qubit of each vertex that is used: the routing as a whole may be moved.
        spare: Physical qubits of the logical ones that no block acts on.
    """

    routing: Routing
    where: tuple[tuple[int, int], ...]
    spare: tuple[int, ...]

    def lower(self, blocks: BlockCircuit, target: Target) -> tuple[QuantumCircuit, tuple[int, ...]]:
        """Return the circuit and the final layout with the blocks' present numbers."""
        return synthesize(blocks, self.routing, dict(self.where), self.spare, target)

    def to_json(self) -> list[Any]:
        return [self.routing.to_json(), self.where, self.spare]

    @classmethod
    def from_json(cls, content: Any) -> "LoweringPlan":
        routing, where, spare = content
        places = tuple((vertex, qubit) for vertex, qubit in where)
        return cls(Routing.from_json(routing), places, tuple(spare))


def routing_problem(blocks: BlockCircuit, fractional: bool) -> RoutingProblem:
    """Return the structure of a circuit that its routing depends on."""
    return RoutingProblem(
        blocks.num_qubits,
        tuple(block.qubits for block in blocks.blocks),
        tuple(interaction_count(block.matrix, fractional) for block in blocks.blocks),
        tuple(interaction_count(SWAP @ block.matrix, fractional) for block in blocks.blocks),
        tuple(blocks.predecessors),
        tuple(any(block.before) for block in blocks.blocks),
    )


def make_plan(
    blocks: BlockCircuit,
    routings: Iterable[Routing],
    couplings: Couplings,
    target: Target,
    measured: Sequence[int],
    prefer: Preference,
) -> LoweringPlan | None:
    """Return the plan with the fewest two-qubit gates among those whose ESP is near the best.

    How near follows from `prefer`. None if no routing has a place on the couplings.
    """
    places = (couplings, target, measured)
    scored = [each for routing in routings for each in _placed(blocks, routing, *places)]
    scored.sort(key=lambda each: -each[0])
    rated: list[tuple[int, int, float, LoweringPlan]] = []
    alike = Counter[tuple[int, int]]()
    for _, plan in scored:
        kind = plan.routing.gates, plan.routing.depth
        alike[kind] += 1
        if alike[kind] > _EXACT_ALIKE:
            continue
        circuit, final = plan.lower(blocks, target)
        success = success_probability(circuit, target, [final[qubit] for qubit in measured])
        depth = circuit.depth(lambda item: len(item.qubits) > 1)
        rated.append((circuit.num_nonlocal_gates(), depth, -(success or 0.0), plan))
    good = near_best(rated, lambda each: -each[2], prefer)
    best = min(good, key=lambda each: each[:3], default=None)
    return None if best is None else best[3]


def near_best(
    found: Sequence[T], success: Callable[[T], float | None], prefer: Preference
) -> list[T]:
    """Return those whose ESP is near enough to the best for their gates to decide."""
    rated = [(success(each) or 0.0, each) for each in found]
    least = WORTH[prefer] * max((value for value, _ in rated), default=0.0)
    return [each for value, each in rated if value >= least]


def _placed(
    blocks: BlockCircuit,
    routing: Routing,
    couplings: Couplings,
    target: Target,
    measured: Sequence[int],
) -> list[tuple[float, LoweringPlan]]:
    """Return the routing at its best places, with the logarithm of each one's estimated ESP."""
    used = sorted({v for _, *pair in routing.steps for v in pair})
    first = max(used, default=-1) + 1
    spare = tuple(range(first, first + sum(vertex < 0 for vertex in routing.start)))
    index = {vertex: k for k, vertex in enumerate([*used, *spare])}
    fractional = "rzz" in target.operation_names
    assembly = Assembly(blocks, routing, {vertex: vertex for vertex in index}, spare)
    pairs = [
        ((index[u], index[v]), interaction_count(matrix, fractional))
        for (u, v), matrix in assembly.runs
    ]
    gates, busy, idle = count_pairs(pairs, len(index))
    # Between two two-qubit gates a qubit gets two pulses at most.
    pulses = tuple(2 * count for count in busy)
    pattern = Pattern(gates, pulses, idle, frozenset(index[assembly.where[q]] for q in measured))
    places = find_placements(pattern, couplings)
    return [
        (
            placement_score(pattern, couplings, place),
            LoweringPlan(routing, tuple(zip(used, place, strict=False)), place[len(used) :]),
        )
        for place in places[:_EXACT]
    ]
