"""Routing of two-qubit blocks onto couplings by beam search.

What a swap costs is counted as the gates that it really takes. Any unitary of two qubits takes at
most three two-qubit gates (Vidal and Dawson, Phys. Rev. A 69, 010301, 2004), so a swap next to a
block on the same pair adds one gate to a cx or a controlled rotation, not three, and two swaps with
only a cx between them none; a swap with a qubit that is still in |0> takes two. A logical qubit is
placed when its first block is due, so the initial layout is part of the search.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from qhybrid_circuits.lowering.routing.problem import MOST_GATES, Routing, RoutingProblem, Step

#: Gates of a swap, and with one more swap; the same where one qubit is in |0>.
_SWAP, _MOVE = (MOST_GATES, 0), (2, 1)


@dataclass(frozen=True)
class BeamOptions:
    """How wide and how far ahead the search looks.

    Attributes:
        width: States kept for each number of executed blocks.
        depth_weight: Gates that a layer of two-qubit depth counts as.
        distance_weight: Gates that a missing step between the qubits of a coming block counts as.
        look_ahead: Coming blocks that are looked at.
        decay: Weight of each coming block relative to the one before it.
        reach: How far from the qubits in use a block of two new qubits may be placed.
    """

    width: int = 60
    depth_weight: float = 0.5
    distance_weight: float = 2.0
    look_ahead: int = 16
    decay: float = 0.9
    reach: int = 3


@dataclass(slots=True, eq=False)
class _State:
    """A node of the search: a layout and the blocks that are done."""

    place: list[int]  # vertex of each logical qubit, -1 before its first block
    who: list[int]  # logical qubit on each vertex, -1 for |0>
    last: list[int]  # the other vertex of the last operation
    count: list[int]  # gates of all operations on that pair since one with another vertex
    swapped: list[int]  # gates of the same with one more swap
    time: list[int]  # two-qubit depth
    ready: list[int]  # blocks whose predecessors are done, ascending
    touched: int = 0  # bit mask of the vertices that have left |0>
    done: int = 0
    gates: int = 0
    depth: int = 0
    steps: tuple[object, Step] | None = None
    score: float = 0.0

    def copy(self) -> _State:
        other = _State.__new__(_State)
        other.place, other.who = self.place[:], self.who[:]
        other.last, other.time = self.last[:], self.time[:]
        other.count, other.swapped = self.count[:], self.swapped[:]
        other.done, other.gates, other.depth = self.done, self.gates, self.depth
        other.touched, other.steps = self.touched, self.steps
        other.ready = self.ready  # replaced, never changed
        return other

    def put(self, qubit: int, vertex: int) -> _State:
        self.place[qubit] = vertex
        self.who[vertex] = qubit
        return self

    def merges(self, u: int, v: int) -> bool:
        return self.last[u] == v and self.last[v] == u

    def act(
        self, u: int, v: int, gates: int, swapped: int, step: Step, separate: bool = False
    ) -> None:
        """Apply an operation to (u, v), merged with the last ones if they were on the same pair.

        It takes `gates` gates, and `swapped` with a swap more. Two swaps are none.
        """
        former, other = 0, MOST_GATES
        if self.merges(u, v) and not separate:
            former, other = self.count[u], self.swapped[u]
        total = min(MOST_GATES, former + gates, other + swapped)
        added = total - former
        self.gates += added
        self.time[u] = self.time[v] = max(self.time[u], self.time[v]) + added
        self.depth = max(self.depth, self.time[u])
        self.last[u], self.last[v] = v, u
        self.count[u] = self.count[v] = total
        self.swapped[u] = self.swapped[v] = min(MOST_GATES, former + swapped, other + gates)
        self.steps = (self.steps, step)

    def swap(self, u: int, v: int) -> None:
        both = 1 << u | 1 << v
        touched = self.touched & both
        gates, swapped = _SWAP if touched == both else _MOVE
        self.act(u, v, gates, swapped, (-1, u, v))
        if touched and touched != both:
            self.touched ^= both
        for vertex, qubit in ((u, self.who[v]), (v, self.who[u])):
            if qubit >= 0:
                self.place[qubit] = vertex
        self.who[u], self.who[v] = self.who[v], self.who[u]

    def key(self) -> tuple[object, ...]:
        return (tuple(self.place), self.done, tuple(self.last))


class Router:
    """Beam search over layouts for one circuit on one coupling graph."""

    #: Swaps that are tried in a row before another block is executed.
    SWAPS_IN_A_ROW = 4

    def __init__(
        self,
        problem: RoutingProblem,
        neighbours: Sequence[Sequence[int]],
        distance: Sequence[Sequence[int]],
        options: BeamOptions,
    ) -> None:
        self.problem, self.options = problem, options
        self.neighbours, self.distance = neighbours, distance
        self.all_done = (1 << len(problem.pairs)) - 1
        self.successors: list[list[int]] = [[] for _ in problem.pairs]
        for index, before in enumerate(problem.predecessors):
            for earlier in _bits(before):
                self.successors[earlier].append(index)
        # Many states have the same blocks done.
        self.coming = lru_cache(maxsize=4096)(self._coming)
        self.weights = [1.0]
        for _ in range(1, options.look_ahead):
            self.weights.append(self.weights[-1] * options.decay)

    def run(
        self, starts: Sequence[tuple[int, int]], layout: Sequence[int] | None = None
    ) -> list[Routing]:
        """Return different routings, best first; none where the search came to a dead end.

        `starts` are couplings for the first block, `layout` the vertex on which each logical qubit
        starts, -1 where no block acts on it; the search chooses if None.
        """
        total = len(self.problem.pairs)
        free, none = [-1] * len(self.neighbours), [0] * len(self.neighbours)
        ready = [index for index, before in enumerate(self.problem.predecessors) if not before]
        vertices = (free, free[:], none, none[:], none[:])
        first = _State([-1] * self.problem.num_qubits, *vertices, ready)
        for qubit, vertex in enumerate(layout or ()):
            if vertex >= 0:
                first.put(qubit, vertex)
        self._execute_ready(first)
        by_progress: list[dict[object, _State]] = [{} for _ in range(total + 1)]
        self._keep(first, by_progress[first.done.bit_count()])
        for progress in range(total):
            states = self._best(by_progress[progress])
            by_progress[progress] = {}
            for _ in range(self.SWAPS_IN_A_ROW):
                stuck: dict[object, _State] = {}
                for state in states:
                    for child in self._children(state, starts):
                        done = child.done.bit_count()
                        self._keep(child, by_progress[done] if done > progress else stuck)
                states = self._best(stuck)
        return [_finished(state) for state in self._best(by_progress[total])]

    def _keep(self, state: _State, pool: dict[object, _State]) -> None:
        options = self.options
        state.score = state.gates + options.depth_weight * state.depth
        state.score += options.distance_weight * self._distance_ahead(state)
        key = state.key()
        former = pool.get(key)
        if former is None or state.score < former.score:
            pool[key] = state

    def _best(self, pool: dict[object, _State]) -> list[_State]:
        return sorted(pool.values(), key=lambda state: state.score)[: self.options.width]

    def _distance_ahead(self, state: _State) -> float:
        total = 0.0
        place, distance = state.place, self.distance
        for weight, (a, b) in zip(self.weights, self.coming(state.done), strict=False):
            u, v = place[a], place[b]
            if u >= 0 and v >= 0:
                total += weight * (distance[u][v] - 1)
        return total

    def _coming(self, done: int) -> list[tuple[int, int]]:
        """Return the pairs of the blocks that are looked at after those that are done."""
        left = islice(_bits(self.all_done & ~done), self.options.look_ahead)
        return [self.problem.pairs[index] for index in left]

    def _execute_ready(self, state: _State) -> None:
        place, problem, at = state.place, self.problem, 0
        ready = state.ready[:]
        while at < len(ready):
            index = ready[at]
            a, b = problem.pairs[index]
            u, v = place[a], place[b]
            if u < 0 or v < 0 or self.distance[u][v] != 1:
                at += 1
                continue
            step, separate = (index, u, v), problem.separate[index]
            state.act(u, v, problem.gates[index], problem.swapped[index], step, separate)
            state.touched |= 1 << u | 1 << v
            state.done |= 1 << index
            del ready[at]
            for later in self.successors[index]:
                # Predecessors come before: it stands further along the list.
                if not problem.predecessors[later] & ~state.done:
                    insort(ready, later)
        state.ready = ready

    def _children(self, state: _State, starts: Sequence[tuple[int, int]]) -> list[_State]:
        children: list[_State] = []
        couplings: set[tuple[int, int]] = set()
        for index in state.ready:
            a, b = self.problem.pairs[index]
            u, v = state.place[a], state.place[b]
            if u < 0 and v < 0:
                for p, q in self._free_couplings(state, starts):
                    children.append(state.copy().put(a, p).put(b, q))
            elif u < 0 or v < 0:
                new, placed = (b, u) if v < 0 else (a, v)
                for vertex in self._free_near(state, placed):
                    children.append(state.copy().put(new, vertex))
            for vertex in (u, v):
                if vertex >= 0:
                    couplings.update(_coupling(vertex, other) for other in self.neighbours[vertex])
        for u, v in couplings:
            if state.steps is None or state.steps[1] not in ((-1, u, v), (-1, v, u)):
                child = state.copy()
                child.swap(u, v)
                children.append(child)
        for child in children:
            self._execute_ready(child)
        return children

    def _free_near(self, state: _State, vertex: int) -> Iterable[int]:
        near = dict.fromkeys(self.neighbours[vertex])
        near.update(dict.fromkeys(far for one in tuple(near) for far in self.neighbours[one]))
        return (v for v in near if state.who[v] < 0 and state.time[v] == 0)

    def _free_couplings(
        self, state: _State, starts: Sequence[tuple[int, int]]
    ) -> Sequence[tuple[int, int]]:
        used = [vertex for vertex in state.place if vertex >= 0]
        if not used:
            return starts
        reach, distance = self.options.reach, self.distance
        free = {
            vertex
            for vertex in range(len(self.neighbours))
            if state.who[vertex] < 0
            and state.time[vertex] == 0
            and any(distance[vertex][other] <= reach for other in used)
        }
        return [(u, v) for u in sorted(free) for v in self.neighbours[u] if v in free]


def _bits(mask: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set, ascending."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _coupling(u: int, v: int) -> tuple[int, int]:
    return (u, v) if u < v else (v, u)


def _finished(state: _State) -> Routing:
    steps: list[Step] = []
    node = state.steps
    while node is not None:
        steps.append(node[1])
        node = node[0]  # type: ignore[assignment]
    steps.reverse()
    start = list(state.place)
    for block, u, v in reversed(steps):
        if block < 0:
            start = [v if at == u else u if at == v else at for at in start]
    return Routing(tuple(steps), tuple(start), state.gates, state.depth)
