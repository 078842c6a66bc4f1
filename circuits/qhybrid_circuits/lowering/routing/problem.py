"""Routing problems and their solutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

#: No unitary of two qubits takes more gates.
MOST_GATES = 3

#: An operation: (index of the block or -1 for a swap, qubit, qubit).
Step = tuple[int, int, int]


@dataclass(frozen=True)
class RoutingProblem:
    """The structure of a circuit that its routing depends on: not the angles of its gates.

    Attributes:
        num_qubits: Logical qubits.
        pairs: The logical pair of each block.
        gates: Two-qubit gates that each block takes on its own.
        swapped: Two-qubit gates that each block takes together with a swap of its pair.
        predecessors: Bit mask of the blocks that come before each.
        separate: Blocks that cannot be merged with an operation before them on the same pair.
    """

    num_qubits: int
    pairs: tuple[tuple[int, int], ...]
    gates: tuple[int, ...]
    swapped: tuple[int, ...]
    predecessors: tuple[int, ...]
    separate: tuple[bool, ...]


@dataclass(frozen=True)
class Routing:
    """Blocks and swaps in order on the vertices of a coupling graph.

    Attributes:
        steps: (block, vertex, vertex) with the vertices in the order of the block's pair, or
            (-1, vertex, vertex) for a swap.
        start: Vertex on which each logical qubit starts, -1 where no block acts on it.
        gates: Two-qubit gates after merging.
        depth: Two-qubit depth after merging.
    """

    steps: tuple[Step, ...]
    start: tuple[int, ...]
    gates: int
    depth: int

    @property
    def swaps(self) -> int:
        return sum(block < 0 for block, _, _ in self.steps)

    def on(self, vertices: Sequence[int]) -> Routing:
        """Return the same routing with `vertices[v]` in place of vertex v."""
        steps = tuple((block, vertices[u], vertices[v]) for block, u, v in self.steps)
        start = tuple(vertices[v] if v >= 0 else -1 for v in self.start)
        return replace(self, steps=steps, start=start)

    def to_json(self) -> list[Any]:
        return [self.steps, self.start, self.gates, self.depth]

    @classmethod
    def from_json(cls, content: Any) -> Routing:
        steps, start, gates, depth = content
        return cls(tuple((index, u, v) for index, u, v in steps), tuple(start), gates, depth)
