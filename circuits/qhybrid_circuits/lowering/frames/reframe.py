"""Circuits of controlled rotations in clusters, rewritten in Pauli frames on stars."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qhybrid_circuits.lowering.blocks.collect import (
    BlockCircuit,
    BlockCollector,
    Matrix,
    interaction_count,
    kron,
    side_by_side,
)
from qhybrid_circuits.lowering.frames.pauli_frames import FramePlan, FrameProblem, pauli
from qhybrid_circuits.lowering.frames.regions import PAULIS, Region, dense, region_of, turned
from qhybrid_circuits.lowering.frames.rotations import RotationCircuit, as_rotations
from qhybrid_circuits.lowering.frames.stars import Star, star_layouts

#: A gate: vertices, its matrix with the first vertex less significant, and -1; or a rotation that
#: goes beyond a star: its vertex, its Pauli matrix there, and its number.
_Gate = tuple[tuple[int, ...], Matrix, int]

#: What stands for the number of a rotation when a star has no more gates.
_ENDED = -2

#: Stands for any gate of two vertices.
_ANY: Matrix = np.diag([1, 1, 1, -1]).astype(complex)


@dataclass(frozen=True)
class Reframed:
    """A circuit on vertices instead of qubits; vertices without one start and end in |0>.

    Attributes:
        blocks: Every block is on two neighbours.
        final: Vertex of each qubit at the end.
    """

    blocks: BlockCircuit
    final: tuple[int, ...]


def reframe(
    blocks: BlockCircuit,
    fractional: bool,
    find: Callable[[FrameProblem], FramePlan | None],
    fits: Callable[[BlockCircuit], bool],
) -> Reframed | None:
    """Write a circuit in Clifford gates, and rotations of one vertex, on the couplings of stars.

    Rotations of two vertices are gates, rather than cz alone, if `fractional`. Clifford gates on
    two qubits of a star, such as cx, take none: they turn the operators of what follows. `find`
    finds the gates of one star; `fits` tells whether a QPU has a place where all pairs of a circuit
    are neighbours, and is asked before the search, which takes longer.

    Returns:
        A circuit with the same unitary up to a global phase; None where the circuit's blocks are no
        controlled rotations, or are not in clusters of three or four qubits, or the QPU has no
        place for the stars, or `find` finds nothing.
    """
    if any(interaction_count(block.matrix, fractional) == 0 for block in blocks.blocks):
        return None  # What does nothing is cheaper routed than as a rotation.
    program = as_rotations(blocks)
    if program is None:
        return None
    layouts = star_layouts(blocks.num_qubits, [block.qubits for block in blocks.blocks])
    stars = next((each for each in layouts if fits(_couplings(each))), None)
    if stars is None:
        return None
    regions = [region_of(star, program.rotations, fractional) for star in stars]
    plans = []
    for region in regions:
        plan = find(region.problem)
        if plan is None:
            return None
        plans.append(plan)
    collector = BlockCollector(sum(len(star.vertices) for star in stars))
    tracks = [_Track(region, plan) for region, plan in zip(regions, plans, strict=True)]
    final = _Writer(program, collector).write(tracks)
    return Reframed(collector.finish(blocks.global_phase), final)


def _couplings(stars: Sequence[Star]) -> BlockCircuit:
    """Return a circuit with a block on each pair of vertices that must be neighbours."""
    pairs = [(star.vertices[a], star.vertices[b]) for star in stars for a, b in star.edges]
    ends: dict[tuple[int, int], list[int]] = {}
    for star in stars:
        for bridge, position in star.meets.items():
            ends.setdefault(bridge, []).append(star.vertices[position])
    collector = BlockCollector(sum(len(star.vertices) for star in stars))
    for first, second in [*pairs, *ends.values()]:
        collector.add_pair(_ANY, (first, second))
    return collector.finish(0.0)


class _Track:
    """The gates of one star, with the numbers of its rotations."""

    def __init__(self, region: Region, plan: FramePlan) -> None:
        self.region, self.plan = region, plan
        self.size = region.problem.num_vertices
        self.before = region.problem.predecessors()
        self.done = np.zeros(len(region.angles), dtype=np.bool_)
        # From states of the qubits to states of the vertices.
        self.frame = _moved(plan.start)

    def gates(self) -> Iterator[_Gate]:
        vertices = self.region.star.vertices
        yield from self._execute()
        for move in self.plan.moves:
            on = dict(self._place(operator) for operator in move.operators)
            product = kron(on[move.pair[1]], on[move.pair[0]])
            angle = np.pi / 2 if move.turn else 0.0
            if self.region.problem.fractional:
                angle += self._angle_between(move.operators)
            if move.turn:
                # From the exact matrices: errors of images would grow from gate to gate.
                self.frame = turned(side_by_side(on, self.size), np.pi / 2) @ self.frame
            yield tuple(vertices[v] for v in move.pair), turned(product, angle), -1
            yield from self._execute()

    def _angle_between(self, operators: tuple[int, int]) -> float:
        """Execute the rotations about a product of two operators, and return their angle."""
        first, second = operators
        product = dense(first, self.size) @ dense(second, self.size)
        angle = 0.0
        for index in self._ready():
            operator = self.region.problem.events[index].operator
            if first ^ second in self._alike(operator) and self.region.outside[index] < 0:
                sign = np.vdot(dense(first ^ second, self.size), product).real / 2**self.size
                angle += round(sign) * self.region.angles[index]
                self.done[index] = True
        return angle

    def finish(self) -> tuple[list[tuple[int, Matrix]], dict[int, int]]:
        """Return a last matrix for each vertex, and where each qubit is after it."""
        last, final = [], {}
        for position in range(self.size):
            both = slice(2 * position, 2 * position + 2)
            (where, x), (_, z) = map(self._place, self.region.problem.home[both])
            x_sign, z_sign = self.region.signs[both]
            # The columns are the states that stand for |0> and |1>.
            zero = np.linalg.eigh(z_sign * z)[1][:, 1]
            local = np.stack([zero, x_sign * x @ zero], axis=1)
            vertex = self.region.star.vertices[where]
            last.append((vertex, local.conj().T))
            if position < len(self.region.star.qubits):
                final[self.region.star.qubits[position]] = vertex
        return last, final

    def _execute(self) -> Iterator[_Gate]:
        """Yield the rotations that are on one vertex now."""
        found = True
        while found:
            found = False
            for index in self._ready():
                event = self.region.problem.events[index]
                for operator in self._alike(event.operator):
                    vertex, matrix = self._place(operator)
                    if vertex < 0 or event.vertex not in (-1, vertex):
                        continue
                    outside = self.region.outside[index]
                    angle = self.region.angles[index]
                    matrix = turned(matrix, angle) if outside < 0 else matrix * angle
                    yield (self.region.star.vertices[vertex],), matrix, outside
                    self.done[index] = found = True
                    break

    def _ready(self) -> list[int]:
        return np.flatnonzero(~self.done & ~(self.before & ~self.done).any(axis=1)).tolist()

    def _alike(self, operator: int) -> set[int]:
        """Return the operators that do the same while the idle qubit is in |0>."""
        return {operator, operator ^ self.region.problem.idle}

    def _place(self, operator: int) -> tuple[int, Matrix]:
        """Return the vertex that an operator is on, and its matrix there; -1 for more than one."""
        image = self.frame @ dense(operator, self.size) @ self.frame.conj().T
        for vertex, kind in itertools.product(range(self.size), ((1, 0), (1, 1), (0, 1))):
            single = pauli(kind[0] << vertex, kind[1] << vertex)
            sign = np.vdot(dense(single, self.size), image).real / 2**self.size
            if abs(sign) > 0.5:
                return vertex, round(sign) * PAULIS[kind]
        return -1, PAULIS[0, 0]


class _Writer:
    """Puts the stars' gates into one order."""

    def __init__(self, program: RotationCircuit, collector: BlockCollector) -> None:
        self.program, self.collector = program, collector
        self.arrived: dict[int, tuple[int, Matrix]] = {}

    def write(self, tracks: Sequence[_Track]) -> tuple[int, ...]:
        """Write everything, and return the vertex of each qubit at the end."""
        for track in tracks:
            star = track.region.star
            for position, qubit in enumerate(star.qubits):
                vertex = star.vertices[track.plan.start.index(position)]
                for operation in self.program.first[qubit]:
                    self.collector.add_symbolic(operation, vertex)
        running = [(track.gates(), -1) for track in tracks]
        # A star waits at each rotation that goes beyond it, and all meet them in the same order.
        while running:
            running = [
                (gates, outside if outside in self.arrived else self._advance(gates))
                for gates, outside in running
            ]
            running = [each for each in running if each[1] != _ENDED]
        final: dict[int, int] = {}
        for track in tracks:
            last, places = track.finish()
            final.update(places)
            for vertex, matrix in last:
                self.collector.add_single(matrix, vertex)
        for qubit, vertex in sorted(final.items()):
            self.collector.add_single(self.program.last[qubit], vertex)
            for operation in self.program.after[qubit]:
                self.collector.add_symbolic(operation, vertex)
        return tuple(final[qubit] for qubit in sorted(final))

    def _advance(self, gates: Iterator[_Gate]) -> int:
        """Write a star's gates up to the next rotation that goes beyond it, and return that."""
        for place, matrix, outside in gates:
            if outside >= 0:
                self._meet(outside, place[0], matrix)
                return outside
            if len(place) == 1:
                self.collector.add_single(matrix, place[0])
            else:
                self.collector.add_pair(matrix, (place[0], place[1]))
        return _ENDED

    def _meet(self, number: int, vertex: int, matrix: Matrix) -> None:
        """Write a rotation between two stars when the second of them has come to it."""
        if number not in self.arrived:
            self.arrived[number] = vertex, matrix
            return
        other, other_matrix = self.arrived.pop(number)
        angle = self.program.rotations[number].angle
        self.collector.add_pair(turned(kron(other_matrix, matrix), angle), (vertex, other))


def _moved(start: Sequence[int]) -> Matrix:
    """Return the permutation that puts qubit `start[v]` on vertex v."""
    states = np.arange(1 << len(start))
    places = sum((states >> qubit & 1) << vertex for vertex, qubit in enumerate(start))
    return np.eye(len(states), dtype=complex)[:, places]
