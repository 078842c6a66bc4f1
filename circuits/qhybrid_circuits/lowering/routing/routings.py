from collections.abc import Iterable, Sequence

import rustworkx

from qhybrid_circuits.lowering.cost.couplings import Couplings, embedding, graph_of
from qhybrid_circuits.lowering.routing.beam import BeamOptions, Router
from qhybrid_circuits.lowering.routing.parts import join_routings, split_problem
from qhybrid_circuits.lowering.routing.problem import Routing, RoutingProblem

#: Steps that the search for a layout without swaps may take.
_SWAP_FREE_STEPS = 200_000

#: Times the fewest gates: routings with more are not compared.
_SLACK = 1.15

#: Vertices around the middle of a QPU that a search may use: for each logical qubit, and at least.
#: All within six steps on a heavy-hex lattice are 40, and hold three rings of twelve.
_ROOM, _LEAST_ROOM = 4, 40


def find_routings(
    problem: RoutingProblem, couplings: Couplings, portfolio: Sequence[BeamOptions]
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
            known[part.problem] = _route_part(part.problem, couplings, portfolio)
    choices = max((len(routings) for routings in known.values()), default=1)
    if not all(known.values()):
        return []
    joined = []
    for choice in range(choices):
        # A part with fewer routings keeps its last one.
        own = [(part, known[part.problem][: choice + 1][-1]) for part in parts]
        joined.append(join_routings(own, problem.num_qubits, couplings.num_qubits))
    return joined


def fits_directly(problem: RoutingProblem, couplings: Couplings) -> bool:
    """Return whether each part has a layout in which every block's qubits are neighbours."""
    parts = {part.problem for part in split_problem(problem)}
    return all(_swap_free(part, couplings) is not None for part in parts)


def _route_part(
    problem: RoutingProblem, couplings: Couplings, portfolio: Sequence[BeamOptions]
) -> list[Routing]:
    direct = _swap_free(problem, couplings)
    if direct is not None:
        return [direct]
    distance = couplings.distance()
    middle = _middle(couplings, distance)
    # States of the search are copied often, so they hold no more vertices than it may reach.
    near = sorted(range(couplings.num_qubits), key=lambda q: distance[middle][q])
    near = sorted(near[: max(_ROOM * problem.num_qubits, _LEAST_ROOM)])
    index = {vertex: k for k, vertex in enumerate(near)}
    neighbours = [[index[v] for v in couplings.neighbours[u] if v in index] for u in near]
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

    Which of them runs best depends on a calibration.
    """
    kept: dict[object, Routing] = {}
    for routing in sorted(routings, key=lambda each: each.swaps):
        uses = frozenset((min(u, v), max(u, v)) for _, u, v in routing.steps)
        kept.setdefault((routing.gates, routing.depth, uses), routing)
    return list(kept.values())


def _middle(couplings: Couplings, distance: Sequence[Sequence[int]]) -> int:
    """Return the most central of the qubits with the most couplings."""
    most = max(len(row) for row in couplings.neighbours)
    crossing = [q for q in range(couplings.num_qubits) if len(couplings.neighbours[q]) == most]
    return min(crossing, key=lambda q: sum(distance[q]))


def _swap_free(problem: RoutingProblem, couplings: Couplings) -> Routing | None:
    """Return a layout in which every block's qubits are neighbours, None if none is found."""
    pairs = sorted({(min(pair), max(pair)) for pair in problem.pairs})
    acting = sorted({qubit for pair in pairs for qubit in pair})
    index = {qubit: k for k, qubit in enumerate(acting)}
    needed = graph_of(acting, [(index[a], index[b]) for a, b in pairs])
    offered = couplings.graph
    if rustworkx.is_bipartite(offered) and not rustworkx.is_bipartite(needed):
        return None
    found = embedding(needed, offered, _SWAP_FREE_STEPS)
    if found is None:
        return None
    place = {acting[k]: vertex for k, vertex in found.items()}
    layers = dict.fromkeys(place, 0)
    for (a, b), gates in zip(problem.pairs, problem.gates, strict=True):
        layers[a] = layers[b] = max(layers[a], layers[b]) + gates
    return Routing(
        tuple((k, place[a], place[b]) for k, (a, b) in enumerate(problem.pairs)),
        tuple(place.get(qubit, -1) for qubit in range(problem.num_qubits)),
        sum(problem.gates),
        max(layers.values(), default=0),
    )
