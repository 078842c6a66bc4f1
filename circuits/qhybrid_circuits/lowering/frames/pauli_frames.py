"""Shortest sequences of two-qubit Clifford gates that let every rotation act on one vertex.

A circuit of rotations about Pauli operators need not keep each qubit on a vertex. It is enough that
each rotation's operator is, when its turn comes, one vertex's Pauli operator under the Clifford
gates so far, and that these are a permutation of the qubits in the end. Swaps and controlled
rotations are special cases, and are not the cheapest: a ring of four on a vertex and its three
neighbours takes 10 gates a layer this way, 12 with swaps merged into rotations. Pauli operators
that travel through Clifford gates are known from the synthesis of Pauli networks (de Brugiere and
Martiel, arXiv:2404.03280); the couplings, and the permutation at the end, are part of the search.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bits of the X part, and of the Z part, of a Pauli operator; the most vertices of a region.
BITS = 5

#: States that are kept after each gate: at most, at least, and for one rotation between.
_MOST, _LEAST, _WORK = 1500, 300, 150_000

#: Rotations that a gate must be worth: per vertex that a qubit is spread over, and per vertex that
#: the coming rotations are spread over, those nearer weighing more. Found by trying on HQConv.
_SPREAD, _AHEAD, _DECAY, _WINDOW = 0.5, 0.5, 0.8, 8

Ints = NDArray[np.uint16]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]


def pauli(x: int = 0, z: int = 0) -> int:
    """Return a Pauli operator, up to its sign, from the bit masks of its X and Z parts."""
    return x | z << BITS


def own_operators(size: int) -> tuple[int, ...]:
    """Return X and Z of each qubit, one after the other."""
    return tuple(of for q in range(size) for of in (pauli(1 << q), pauli(0, 1 << q)))


@dataclass(frozen=True)
class Event:
    """A rotation that waits for its operator to be on one vertex.

    Attributes:
        operator: Pauli operator.
        vertex: The only vertex where it may act, because a qubit beyond it takes part; -1 where any
            will do.
    """

    operator: int
    vertex: int = -1


@dataclass(frozen=True)
class FrameProblem:
    """Rotations on a few vertices.

    Attributes:
        num_vertices: Vertices, and qubits: those without a rotation are in |0>.
        edges: Pairs of vertices that can meet.
        events: In an order in which they can happen.
        home: X and Z of each qubit, one after the other, as the events' operators are: each must be
            on one vertex in the end.
        idle: The operator that is Z on the qubit in |0>, 0 where there is none.
        fractional: Whether rotations about two vertices' operators are gates too.
    """

    num_vertices: int
    edges: tuple[tuple[int, int], ...]
    events: tuple[Event, ...]
    home: tuple[int, ...]
    idle: int
    fractional: bool

    def predecessors(self) -> Bools:
        """Return whether event j must come before event i, shape (events, events)."""
        operators = np.array([event.operator for event in self.events], dtype=np.uint16)
        outside = np.array([event.vertex >= 0 for event in self.events])
        ordered = anticommute(operators[:, None], operators[None, :])
        ordered = ordered | (outside[:, None] & outside[None, :])
        return np.tril(ordered, -1)


@dataclass(frozen=True)
class Move:
    """A gate on two vertices.

    Attributes:
        pair: The vertices.
        operators: Pauli operators of the qubits, one that is on each of them.
        turn: Whether the gate is exp(-i pi/4 P), with P the product of both; otherwise it is only
            rotations about P.
    """

    pair: tuple[int, int]
    operators: tuple[int, int]
    turn: bool


@dataclass(frozen=True)
class FramePlan:
    """A result of the search.

    Attributes:
        start: The qubit on each vertex at first.
        moves: The gates, in order.
    """

    start: tuple[int, ...]
    moves: tuple[Move, ...]

    def to_json(self) -> list[Any]:
        return [self.start, [[*move.pair, *move.operators, move.turn] for move in self.moves]]

    @classmethod
    def from_json(cls, content: Any) -> "FramePlan":
        start, moves = content
        return cls(tuple(start), tuple(Move((u, v), (a, b), turn) for u, v, a, b, turn in moves))


def anticommute(one: Any, other: Any) -> Any:
    """Return elementwise whether Pauli operators anticommute."""
    x, z = other & (1 << BITS) - 1, other >> BITS
    return (np.bitwise_count(one & (z | x << BITS)) & 1) == 1


def find_frames(problem: FrameProblem) -> FramePlan | None:
    """Search for the shortest sequence of gates.

    A beam search, one step a gate. It is exact in what it returns, not in being the shortest.

    Returns:
        The plan, or None where none with fewer than three gates a rotation was found.
    """
    return _Search(problem).run()


@dataclass(frozen=True)
class _States:
    """Nodes of the search, W of them.

    Attributes:
        frames: Two operators of the qubits that generate those on each vertex, (W, vertices, 2).
        done: Which events have happened, (W, events).
        parents: Number of the state that each came from.
        choices: Number of the gate that led to each.
    """

    frames: Ints
    done: Bools
    parents: Indices
    choices: Indices

    def take(self, which: Any) -> "_States":
        return _States(
            self.frames[which], self.done[which], self.parents[which], self.choices[which]
        )


class _Search:
    def __init__(self, problem: FrameProblem) -> None:
        self.problem = problem
        size, events = problem.num_vertices, problem.events
        self.operators = np.array([event.operator for event in events], dtype=np.uint16)
        self.where = np.array([event.vertex for event in events])
        self.before = problem.predecessors().T.astype(np.float32)
        self.own = np.array(own_operators(size), np.uint16).reshape(size, 2)
        self.home = np.array([problem.home], np.uint16)
        turns = (True, False) if problem.fractional else (True,)
        self.gates = list(itertools.product(problem.edges, range(3), range(3), turns))
        self.seen: dict[bytes, int] = {}
        self.width = max(_LEAST, min(_MOST, _WORK // max(1, len(events))))

    def run(self) -> FramePlan | None:
        size = self.problem.num_vertices
        starts = np.array(list(itertools.permutations(range(size))))
        frames = self.own[starts]
        done = np.zeros((len(starts), len(self.operators)), dtype=np.bool_)
        done = self._execute(frames, done, np.zeros(len(starts), dtype=np.uint16))
        number = np.arange(len(starts))
        history = [_States(frames, done, number, number)]
        for _ in range(3 * len(self.operators)):
            children = self._children(history[-1])
            spread = self._spread(children.frames, self.home).sum(axis=1)
            home = np.flatnonzero(children.done.all(axis=1) & (spread == 2 * size))
            if len(home):
                return self._traced(history, children.take(home[:1]), starts)
            children = self._best(children, history[-1].done, spread)
            if not len(children.done):
                return None
            history.append(children)
        return None

    def _ready(self, done: Bools) -> Bools:
        missing = (~done).astype(np.float32)
        return np.asarray(~done & (missing @ self.before == 0))

    def _execute(self, frames: Ints, done: Bools, product: Ints) -> Bools:
        """Return `done`, (W, events), after all events that are possible now."""
        if not len(done):
            return done
        inside = self.where < 0
        here, at_once = np.zeros((2, *done.shape), dtype=np.bool_)
        for operators in (self.operators, self.operators ^ np.uint16(self.problem.idle)):
            for vertex in range(self.problem.num_vertices):
                first, second = frames[:, vertex, :1], frames[:, vertex, 1:]
                on = (operators == first) | (operators == second) | (operators == first ^ second)
                here |= on & (inside | (self.where == vertex))
            if self.problem.fractional:
                at_once |= (operators == product[:, None]) & inside
        # The last gate's own rotation comes before those that its new frame makes possible.
        done = done | (at_once & self._ready(done))
        while True:
            now = here & self._ready(done)
            if not now.any():
                return done
            done |= now

    def _children(self, states: _States) -> _States:
        number = len(states.done)
        frames = np.repeat(states.frames[:, None], len(self.gates), axis=1)
        product = np.empty((number, len(self.gates)), dtype=np.uint16)
        for index, ((u, v), i, j, turn) in enumerate(self.gates):
            a, a_other = _operator(states.frames[:, u], i), _operator(states.frames[:, u], i + 1)
            b, b_other = _operator(states.frames[:, v], j), _operator(states.frames[:, v], j + 1)
            product[:, index] = a ^ b
            if turn:
                frames[:, index, u, 0], frames[:, index, u, 1] = a, a_other ^ b
                frames[:, index, v, 0], frames[:, index, v, 1] = b, b_other ^ a
        children = _States(
            frames.reshape(-1, *frames.shape[2:]),
            np.repeat(states.done, len(self.gates), axis=0),
            np.repeat(np.arange(number), len(self.gates)),
            np.tile(np.arange(len(self.gates)), number),
        )
        flat = product.reshape(-1)
        hit = np.flatnonzero(self._may_execute(states, children, flat))
        children.done[hit] = self._execute(children.frames[hit], children.done[hit], flat[hit])
        if not self.problem.fractional:
            return children
        turned = np.array([gate[3] for gate in self.gates])[children.choices]
        progress = (children.done != states.done[children.parents]).any(axis=1)
        return children.take(turned | progress)

    def _may_execute(self, states: _States, children: _States, product: Ints) -> Bools:
        """Return whether a gate makes an operator local that one of the ready events waits for."""
        ready = self._ready(states.done)
        most = int(ready.sum(axis=1).max(initial=0))
        order = np.argsort(~ready, axis=1, kind="stable")[:, :most]
        waiting = np.where(np.take_along_axis(ready, order, axis=1), self.operators[order], 0)
        waiting = waiting.astype(np.uint16)[children.parents]
        pairs = np.array([gate[0] for gate in self.gates])[children.choices]
        rows = np.arange(len(product))
        hit = np.zeros(len(product), dtype=np.bool_)
        for side in (0, 1):
            frame = children.frames[rows, pairs[:, side]]
            for operator in (frame[:, 1], frame[:, 0] ^ frame[:, 1], product):
                for idle in {0, self.problem.idle}:
                    wanted = waiting ^ np.uint16(idle)
                    hit |= ((wanted == operator[:, None]) & (waiting != 0)).any(axis=1)
        return hit

    def _spread(self, frames: Ints, operators: Ints) -> NDArray[np.int64]:
        """Return on how many vertices operators are, (W, operators)."""
        total = np.zeros((len(frames), operators.shape[1]), dtype=np.int64)
        for vertex in range(self.problem.num_vertices):
            first, second = frames[:, vertex, :1], frames[:, vertex, 1:]
            total += anticommute(operators, first) | anticommute(operators, second)
        return total

    def _best(self, children: _States, former: Bools, spread: NDArray[np.int64]) -> _States:
        """Keep the most promising states, one of those with the same frame, and no former one."""
        count = children.done.sum(axis=1)
        score = (
            count
            - _SPREAD * (spread - spread.min(initial=0))
            - _AHEAD * self._ahead(children, former)
        )
        kept = []
        for index, key in self._keys(children.frames, np.argsort(-score, kind="stable")):
            if self.seen.get(key, -1) < count[index]:
                self.seen[key] = int(count[index])
                kept.append(index)
                if len(kept) == self.width:
                    break
        return children.take(np.array(kept, dtype=np.intp))

    def _keys(self, frames: Ints, order: Indices) -> Iterator[tuple[int, bytes]]:
        """Yield the number of each frame and what frames of the same operators share, in order."""
        for start in range(0, len(order), 4 * self.width):  # seldom are all of them asked for
            block = order[start : start + 4 * self.width]
            three = np.stack([_operator(frames[block], which) for which in range(3)], axis=-1)
            three.sort(axis=-1)
            yield from zip(block.tolist(), (key.tobytes() for key in three), strict=True)

    def _ahead(self, states: _States, former: Bools) -> NDArray[np.float64]:
        """Return over how many more vertices than one the coming rotations are spread."""
        order = _coming(former)[states.parents]
        changed = np.flatnonzero((states.done != former[states.parents]).any(axis=1))
        order[changed] = _coming(states.done[changed])  # seldom many
        left = ~np.take_along_axis(states.done, order, axis=1)
        operators = np.where(left, self.operators[order], 0).astype(np.uint16)
        far = self._spread(states.frames, operators) - 1.0
        where = self.where[order]
        for vertex in set(self.where[self.where >= 0].tolist()):
            first, second = states.frames[:, vertex, :1], states.frames[:, vertex, 1:]
            there = anticommute(operators, first) | anticommute(operators, second)
            far += 2.0 * ((where == vertex) & ~there & (far == 0))
        weights = _DECAY ** np.arange(order.shape[1])
        return np.asarray((far * left) @ weights)

    def _traced(
        self, history: Sequence[_States], last: _States, starts: NDArray[np.int64]
    ) -> FramePlan:
        moves: list[Move] = []
        state, row = last, 0
        for former in reversed(history):
            (u, v), i, j, turn = self.gates[state.choices[row]]
            row_before = int(state.parents[row])
            frame = former.frames[row_before]
            operators = int(_operator(frame[u], i)), int(_operator(frame[v], j))
            moves.append(Move((u, v), operators, turn))
            state, row = former, row_before
        return FramePlan(tuple(int(q) for q in starts[row]), tuple(reversed(moves)))


def _coming(done: Bools) -> Indices:
    """Return the numbers of the next events that have not happened, (W, _WINDOW)."""
    return np.argsort(done, axis=1, kind="stable")[:, :_WINDOW]


def _operator(frame: Ints, which: int) -> Ints:
    """Return one of a vertex's three operators, numbered by 0, 1, 2 and again; frame (..., 2)."""
    if which % 3 == 2:
        return np.asarray(frame[..., 0] ^ frame[..., 1])
    return frame[..., which % 3]
