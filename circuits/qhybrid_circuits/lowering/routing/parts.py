"""Parts of a routing problem that share no block, and how their routings are put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import rustworkx

from qhybrid_circuits.lowering.cost.couplings import graph_of
from qhybrid_circuits.lowering.routing.problem import Routing, RoutingProblem


@dataclass(frozen=True)
class CircuitPart:
    """Some of a circuit's blocks and qubits.

    Attributes:
        qubits: The circuit's qubits that are the part's 0, 1, ...
        blocks: The circuit's blocks that are the part's 0, 1, ...
        problem: The part alone.
    """

    qubits: tuple[int, ...]
    blocks: tuple[int, ...]
    problem: RoutingProblem


def split_problem(problem: RoutingProblem) -> list[CircuitPart]:
    """Split a circuit into parts that no block connects; qubits without a block are in none.

    Qubits are numbered in the order in which blocks meet them, so that alike parts are equal.
    """
    graph = graph_of(range(problem.num_qubits), sorted(set(problem.pairs)))
    parts = []
    for members in rustworkx.connected_components(graph):
        blocks = tuple(k for k, pair in enumerate(problem.pairs) if pair[0] in members)
        if not blocks:
            continue
        qubits = tuple(dict.fromkeys(q for k in blocks for q in problem.pairs[k]))
        parts.append(CircuitPart(qubits, blocks, _restricted(problem, qubits, blocks)))
    return parts


def join_routings(
    parts: Sequence[tuple[CircuitPart, Routing]], num_qubits: int, num_vertices: int
) -> Routing:
    """Return one routing in which every part has `num_vertices` vertices of its own."""
    steps: list[tuple[int, int, int]] = []
    start = [-1] * num_qubits
    for index, (part, routing) in enumerate(parts):
        first = index * num_vertices
        for block, u, v in routing.steps:
            steps.append((part.blocks[block] if block >= 0 else -1, first + u, first + v))
        for qubit, vertex in zip(part.qubits, routing.start, strict=True):
            start[qubit] = first + vertex
    return Routing(
        tuple(steps),
        tuple(start),
        sum(routing.gates for _, routing in parts),
        max((routing.depth for _, routing in parts), default=0),
    )


def _restricted(
    problem: RoutingProblem, qubits: Sequence[int], blocks: Sequence[int]
) -> RoutingProblem:
    number, masks = {qubit: index for index, qubit in enumerate(qubits)}, problem.predecessors
    return RoutingProblem(
        len(qubits),
        tuple((number[problem.pairs[k][0]], number[problem.pairs[k][1]]) for k in blocks),
        tuple(problem.gates[k] for k in blocks),
        tuple(problem.swapped[k] for k in blocks),
        tuple(
            sum(1 << index for index, k in enumerate(blocks) if masks[later] >> k & 1)
            for later in blocks
        ),
        tuple(problem.separate[k] for k in blocks),
    )
