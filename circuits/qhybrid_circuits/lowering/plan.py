"""The part of lowering that depends on a circuit's structure and not on its weights."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import rustworkx
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from qhybrid_circuits.lowering.blocks import BlockCircuit, interaction_count
from qhybrid_circuits.lowering.couplings import Couplings
from qhybrid_circuits.lowering.parts import join_routings, split_problem
from qhybrid_circuits.lowering.placement import Pattern, find_placements, placement_score
from qhybrid_circuits.lowering.routing import BeamOptions, Router, Routing, RoutingProblem
from qhybrid_circuits.lowering.success import success_probability
from qhybrid_circuits.lowering.synthesis import Assembly, synthesize

#: Steps that the search for a layout without swaps may take.
_SWAP_FREE_STEPS = 200_000

#: Placements whose success is computed from the circuit itself: of one routing, and of all that
#: have the same gates and depth.
_EXACT, _EXACT_ALIKE = 6, 6

#: Of the best estimated success, what a plan with fewer gates must have to be taken: calibrations
#: change by more from day to day, gates do not.
_WORTH = 0.96

#: Times the fewest gates: routings with more are not compared.
_SLACK = 1.15

#: Vertices around the middle of a device that a search may use, for each logical qubit.
_ROOM = 4


@dataclass(frozen=True)
class Plan:
    """How a circuit's blocks run on a device.

    Attributes:
        routing: Blocks and swaps on the vertices of the device.
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
    def from_json(cls, content: Any) -> "Plan":
        routing, where, spare = content
        places = tuple((int(vertex), int(qubit)) for vertex, qubit in where)
        return cls(Routing.from_json(routing), places, tuple(spare))


def routing_problem(blocks: BlockCircuit, fractional: bool) -> RoutingProblem:
    """Return what the router has to know of a circuit."""
    return RoutingProblem(
        blocks.num_qubits,
        tuple(block.qubits for block in blocks.blocks),
        tuple(interaction_count(block.matrix, fractional) for block in blocks.blocks),
        tuple(blocks.predecessors),
        tuple(any(block.before) for block in blocks.blocks),
    )


def make_plan(
    blocks: BlockCircuit,
    routings: Iterable[Routing],
    device: Couplings,
    target: Target,
    measured: Sequence[int],
) -> Plan | None:
    """Choose among routings and places by the estimated success of the whole circuit.

    Among those that are nearly as good as the best, the one with the fewest two-qubit gates.
    """
    scored = [
        each for routing in routings for each in _placed(blocks, routing, device, target, measured)
    ]
    scored.sort(key=lambda each: -each[0])
    rated: list[tuple[int, int, float, Plan]] = []
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
    least = _WORTH * max((-each[2] for each in rated), default=0.0)
    good = (each for each in rated if -each[2] >= least)
    best = min(good, key=lambda each: each[:3], default=None)
    return None if best is None else best[3]


def _placed(
    blocks: BlockCircuit,
    routing: Routing,
    device: Couplings,
    target: Target,
    measured: Sequence[int],
) -> list[tuple[float, Plan]]:
    """Return the routing at the places that promise most, with the logarithm of the promise."""
    used = sorted({v for _, *pair in routing.steps for v in pair})
    lonely = sum(vertex < 0 for vertex in routing.start)
    spare = tuple(range(max(used, default=-1) + 1, max(used, default=-1) + 1 + lonely))
    pattern = _pattern(blocks, routing, [*used, *spare], spare, target, measured)
    places = find_placements(pattern, device)
    return [
        (
            placement_score(pattern, device, place),
            Plan(routing, tuple(zip(used, place, strict=False)), place[len(used) :]),
        )
        for place in places[:_EXACT]
    ]


def _pattern(
    blocks: BlockCircuit,
    routing: Routing,
    vertices: Sequence[int],
    spare: Sequence[int],
    target: Target,
    measured: Sequence[int],
) -> Pattern:
    """Count what a routed circuit does on the vertices of its routing, before it has a place."""
    index = {vertex: k for k, vertex in enumerate(vertices)}
    fractional = "rzz" in target.operation_names
    assembly = Assembly(blocks, routing, {vertex: vertex for vertex in vertices}, spare)
    gates: Counter[tuple[int, int]] = Counter()
    layers, busy = Counter[int](), Counter[int]()
    # From the end: gates start as late as possible, and no qubit waits before its first one.
    for (u, v), matrix in reversed(assembly.runs):
        pair = sorted((index[u], index[v]))
        count = interaction_count(matrix, fractional)
        gates[pair[0], pair[1]] += count
        layer = count + max(layers[pair[0]], layers[pair[1]])
        for one in pair:
            layers[one] = layer
            busy[one] += count
    return Pattern(
        dict(gates),
        # Between two two-qubit gates a qubit gets two pulses at most.
        tuple(2 * busy[k] for k in range(len(vertices))),
        tuple(layers[k] - busy[k] for k in range(len(vertices))),
        frozenset(index[assembly.where[qubit]] for qubit in measured),
    )


def find_routings(
    problem: RoutingProblem, device: Couplings, portfolio: Sequence[BeamOptions]
) -> list[Routing]:
    """Route a circuit: without swaps where the couplings allow it, else by search.

    Parts of the circuit that share no block are routed alone, and each has vertices of its own.

    Returns:
        A few routings, those with the fewest gates first; none if the circuit does not fit.
    """
    known: dict[RoutingProblem, list[Routing]] = {}
    parts = split_problem(problem)
    for part in parts:
        if part.problem not in known:
            known[part.problem] = _route_part(part.problem, device, portfolio)
    choices = max((len(routings) for routings in known.values()), default=1)
    if not all(known.values()):
        return []
    return [
        join_routings(
            [(part, _take(known[part.problem], choice)) for part in parts],
            problem.num_qubits,
            device.num_qubits,
        )
        for choice in range(choices)
    ]


def fits_directly(problem: RoutingProblem, device: Couplings) -> bool:
    """Return whether each part has a layout in which every block's qubits are neighbours."""
    parts = {part.problem for part in split_problem(problem)}
    return all(_swap_free(part, device) is not None for part in parts)


def _take(routings: Sequence[Routing], choice: int) -> Routing:
    return routings[min(choice, len(routings) - 1)]


def _route_part(
    problem: RoutingProblem, device: Couplings, portfolio: Sequence[BeamOptions]
) -> list[Routing]:
    direct = _swap_free(problem, device)
    if direct is not None:
        return [direct]
    distance = device.distance()
    middle = _middle(device, distance)
    # States of the search are copied often, so they hold no more vertices than it may reach.
    near = sorted(range(device.num_qubits), key=lambda q: distance[middle][q])
    near = sorted(near[: _ROOM * problem.num_qubits])
    index = {vertex: k for k, vertex in enumerate(near)}
    neighbours = [[index[v] for v in device.neighbours[u] if v in index] for u in near]
    steps = [[distance[u][v] for v in near] for u in near]
    first = index[middle]
    starts = [(u, v) for a in neighbours[first] for u, v in ((first, a), (a, first))]
    found: list[Routing] = []
    for options in portfolio:
        found += Router(problem, neighbours, steps, options).run(starts)
    kept = sorted(different(found), key=lambda each: (each.gates, each.depth))
    return [each.on(near) for each in kept if each.gates <= _SLACK * kept[0].gates]


def different(routings: Iterable[Routing]) -> list[Routing]:
    """Keep the one with the fewest swaps of all routings alike in gates, depth and couplings.

    What runs best depends on a device's calibration: another shape may fit its good parts.
    """
    kept: dict[object, Routing] = {}
    for routing in sorted(routings, key=lambda each: each.swaps):
        uses = frozenset((min(u, v), max(u, v)) for _, u, v in routing.steps)
        kept.setdefault((routing.gates, routing.depth, uses), routing)
    return list(kept.values())


def _middle(device: Couplings, distance: Sequence[Sequence[int]]) -> int:
    """Return the most central of the qubits with the most couplings."""
    most = max(len(row) for row in device.neighbours)
    crossing = [q for q in range(device.num_qubits) if len(device.neighbours[q]) == most]
    return min(crossing, key=lambda q: sum(distance[q]))


def _swap_free(problem: RoutingProblem, device: Couplings) -> Routing | None:
    """Look for a layout in which every block's qubits are neighbours."""
    pairs = sorted({(min(pair), max(pair)) for pair in problem.pairs})
    acting = sorted({qubit for pair in pairs for qubit in pair})
    index = {qubit: k for k, qubit in enumerate(acting)}
    needed, offered = rustworkx.PyGraph(), rustworkx.PyGraph()
    needed.add_nodes_from(acting)
    needed.add_edges_from_no_data([(index[a], index[b]) for a, b in pairs])
    offered.add_nodes_from(range(device.num_qubits))
    offered.add_edges_from_no_data(device.pairs)
    if rustworkx.is_bipartite(offered) and not rustworkx.is_bipartite(needed):
        return None
    mappings = rustworkx.vf2_mapping(
        offered, needed, subgraph=True, induced=False, call_limit=_SWAP_FREE_STEPS
    )
    mapping = next(iter(mappings), None)
    if mapping is None:
        return None
    place = {acting[k]: vertex for vertex, k in mapping.items()}
    layers = dict.fromkeys(place, 0)
    for (a, b), gates in zip(problem.pairs, problem.gates, strict=True):
        layers[a] = layers[b] = max(layers[a], layers[b]) + gates
    return Routing(
        tuple((k, place[a], place[b]) for k, (a, b) in enumerate(problem.pairs)),
        tuple(place.get(qubit, -1) for qubit in range(problem.num_qubits)),
        sum(problem.gates),
        max(layers.values(), default=0),
    )
