"""Find the fewest gates that Clifford frames need for a ring, by trying all of them.

    python docs/bound_frames.py [--couplings star|path] [--layers N] [--fractional]

takes the rotations of one channel of HQConv, as `qhybrid_circuits.lower` does, on four vertices
that are coupled as a star or as a path, and prints the fewest two-qubit gates under which each
rotation acts on one vertex (or, fractional, on a coupled pair) when its turn comes, and the qubits
are permuted in the end. Rotations about X may be about Y: Z, X, Z and Z, Y, Z are both Euler
angles. Up to gates on one vertex, a frame is a division of the 15 Pauli operators of n qubits, or
rather of F_2^2n, into one plane a vertex, of operators that commute with those of all the others:
36,556,800 on four vertices, a sixth of them up to the order of a star's leaves.

The search is exact. Costs to the end are found first for all frames with rotations about Z left
out, which can only be too low; the search from the start leaves out what would cost too much.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from qhybrid_circuits.ansatz import hqconv
from qhybrid_circuits.lowering.blocks.collect import collect_blocks
from qhybrid_circuits.lowering.frames.pauli_frames import BITS, Event, anticommute
from qhybrid_circuits.lowering.frames.regions import region_of
from qhybrid_circuits.lowering.frames.rotations import as_rotations
from qhybrid_circuits.lowering.frames.stars import star_layouts

NEVER = 255
"""The cost of what cannot be reached."""

STAR = ((0, 1), (0, 2), (0, 3))
PATH = ((0, 1), (1, 2), (2, 3))

Costs = NDArray[np.uint8]


class Planes:
    """The planes of F_2^2n: triples of Pauli operators of n qubits that anticommute.

    Attributes:
        members: The operators of each, (planes, 3).
        of: Number of the plane of two operators, (4^n, 4^n); -1 where they commute.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        bits = np.arange(1 << 2 * size)
        operators = (bits & (1 << size) - 1) | bits >> size << BITS
        apart = anticommute(operators[:, None], operators[None, :])
        pairs = [(a, b) for a, b in np.argwhere(apart).tolist() if a < b < a ^ b]
        self.members = np.array([(a, b, a ^ b) for a, b in pairs], dtype=np.int32)
        self.of = np.full(apart.shape, -1, dtype=np.int32)
        for i, j in ((0, 1), (1, 2), (2, 0)):
            for a, b in ((i, j), (j, i)):
                self.of[self.members[:, a], self.members[:, b]] = np.arange(len(pairs))

    def packed(self, operator: int) -> int:
        """Return an operator of the lowering by its number here."""
        return operator & (1 << self.size) - 1 | operator >> BITS << self.size


class Frames:
    """All frames on a few vertices, and the gates between them.

    Attributes:
        planes: Number of the plane on each vertex, (frames, vertices).
        next: The frame after each gate, (frames, gates).
    """

    def __init__(self, size: int, edges: Sequence[tuple[int, int]]) -> None:
        self.size, self.edges, self.every = size, tuple(edges), Planes(size)
        self.gates = [(edge, i, j) for edge in self.edges for i in range(3) for j in range(3)]
        self.keys = np.sort(self._key(self._product()))
        new = self.keys
        while len(new):
            children = [self._key(self._after(self._unpacked(new), gate)) for gate in self.gates]
            new = np.setdiff1d(np.unique(np.concatenate(children)), self.keys, assume_unique=True)
            self.keys = np.sort(np.concatenate([self.keys, new]))
        self.planes = self._unpacked(self.keys)
        self.next = np.empty((len(self.keys), len(self.gates)), dtype=np.int32)
        for number, gate in enumerate(self.gates):
            self.next[:, number] = self.find(self._after(self.planes, gate))

    def find(self, planes: NDArray[np.int32]) -> NDArray[np.intp]:
        return np.searchsorted(self.keys, self._key(planes))

    def home(self) -> NDArray[np.intp]:
        """Return the frames in which each qubit is on one vertex."""
        return np.flatnonzero(np.isin(self.planes, self._product()).all(axis=1))

    def single(self, operators: Sequence[int]) -> NDArray[np.bool_]:
        """Return in which frames one of the operators is on one vertex."""
        has = np.isin(self.every.members, operators).any(axis=1)
        return np.asarray(has[self.planes].any(axis=1))

    def on_pair(self, operators: Sequence[int]) -> NDArray[np.int32]:
        """Return the frame after the gate whose product one of the operators is, -1 for none."""
        found = np.full(len(self.planes), -1, dtype=np.int32)
        for number, ((u, v), i, j) in enumerate(self.gates):
            members = self.every.members
            both = members[self.planes[:, u], i] ^ members[self.planes[:, v], j]
            hit = np.isin(both, operators)
            found[hit] = self.next[hit, number]
        return found

    def _product(self) -> NDArray[np.int32]:
        own = [self.every.of[1 << q, 1 << self.size + q] for q in range(self.size)]
        return np.array([np.roll(own, shift) for shift in range(self.size)], dtype=np.int32)

    def _after(
        self, planes: NDArray[np.int32], gate: tuple[tuple[int, int], int, int]
    ) -> NDArray[np.int32]:
        (u, v), i, j = gate
        first, second = self.every.members[planes[:, u]], self.every.members[planes[:, v]]
        a, b = first[:, i], second[:, j]
        after = planes.copy()
        after[:, u] = self.every.of[a, first[:, (i + 1) % 3] ^ b]
        after[:, v] = self.every.of[b, second[:, (j + 1) % 3] ^ a]
        return after

    def _key(self, planes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return a number for each frame; frames that the couplings' symmetry joins share it."""
        planes = planes.astype(np.int64)
        if all(edge[0] == 0 for edge in self.edges):
            planes[:, 1:].sort(axis=1)
            return self._joined(planes)
        return np.minimum(self._joined(planes), self._joined(planes[:, ::-1]))

    def _joined(self, planes: NDArray[np.int64]) -> NDArray[np.int64]:
        return planes @ (1 << 13 * np.arange(self.size, dtype=np.int64))

    def _unpacked(self, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        shifts = 13 * np.arange(self.size, dtype=np.int64)
        return (keys[:, None] >> shifts & (1 << 13) - 1).astype(np.int32)


@dataclass(frozen=True)
class Rotation:
    """A rotation; one of its operators must be on one vertex.

    Attributes:
        operators: As numbers of `Planes`.
        before: Bit mask of the rotations that come before it.
        bounds: Whether it takes part in the bound.
    """

    operators: tuple[int, ...]
    before: int
    bounds: bool


def ring(layers: int, every: Planes) -> list[Rotation]:
    """Return the rotations of one channel of HQConv."""
    variational = hqconv(channels=1, layers=layers)
    weights = np.random.default_rng(0).random(variational.num_weights)
    blocks = collect_blocks(variational.bind_weights(weights))
    program = None if blocks is None else as_rotations(blocks)
    stars = next(star_layouts(4, [(0, 1), (1, 2), (2, 3), (0, 3)]), None)
    if program is None or stars is None:
        raise SystemExit("hqconv's channel is no ring of controlled rotations any more")
    problem = region_of(stars[0], program.rotations, fractional=False).problem
    return rotations(problem.events, problem.predecessors(), every)


def rotations(events: Sequence[Event], ordered: NDArray[np.bool_], every: Planes) -> list[Rotation]:
    """Return the events of the lowering's search, those about X with Y as another choice."""
    found = []
    for event, before in zip(events, ordered, strict=True):
        operator = every.packed(event.operator)
        x, z = operator & (1 << every.size) - 1, operator >> every.size
        single = (x | z).bit_count() == 1
        choices = (operator, operator | x << every.size) if single and x else (operator,)
        mask = sum(1 << int(index) for index in np.flatnonzero(before))
        found.append(Rotation(choices, mask, bool(x) or not single))
    return found


class Search:
    """The fewest gates for some rotations."""

    def __init__(self, frames: Frames, of: Sequence[Rotation], fractional: bool) -> None:
        self.frames, self.of, self.fractional = frames, of, fractional
        choices = {each.operators for each in of}
        self.single = {each: frames.single(each) for each in choices}
        self.pair = {each: frames.on_pair(each) for each in choices if fractional}
        self.bounding = sum(1 << k for k, each in enumerate(of) if each.bounds)

    def ready(self, done: int, among: int) -> Iterator[int]:
        """Yield the rotations that can come next, of those whose bits are set in `among`."""
        for number, each in enumerate(self.of):
            if among >> number & 1 and not done >> number & 1 and not each.before & among & ~done:
                yield number

    def fewest(self, most: int) -> int:
        """Return the fewest gates, or `NEVER` where more than `most` are needed."""
        bounds = self.costs_to_the_end(most)
        home = self.frames.home()
        least = int(bounds[0][home].min())
        print(f"with rotations about Z left out: {least}", flush=True)
        for limit in range(least, most + 1):
            states = self.from_the_start(bounds, limit)
            found = "found" if states < 0 else f"none, of {states:,} states"
            print(f"{limit} gates: {found}", flush=True)
            if states < 0:
                return limit
        return NEVER

    def costs_to_the_end(self, most: int) -> dict[int, Costs]:
        """Return, for each set of rotations that are done, each frame's cost to the end."""
        levels: list[set[int]] = [{0}]
        while any(done != self.bounding for done in levels[-1]):
            following = {
                done | 1 << k for done in levels[-1] for k in self.ready(done, self.bounding)
            }
            levels.append(following)
        costs: dict[int, Costs] = {}
        for level in reversed(levels):
            for done in level:
                cost = np.full(len(self.frames.planes), NEVER, dtype=np.uint8)
                if done == self.bounding:
                    cost[self.frames.home()] = 0
                for k in self.ready(done, self.bounding):
                    self._before(cost, costs[done | 1 << k], self.of[k].operators)
                _relax(cost, self.frames.next, most)
                costs[done] = cost
        return costs

    def _before(self, cost: Costs, after: Costs, operators: tuple[int, ...]) -> None:
        """Lower costs to those of doing a rotation next."""
        np.minimum(cost, after, out=cost, where=self.single[operators])
        if self.fractional:
            turned = self.pair[operators]
            here = np.flatnonzero(turned >= 0)
            least = np.minimum(after[here], after[turned[here]])
            cost[here] = np.minimum(cost[here], np.where(least < NEVER, least + 1, NEVER))

    def from_the_start(self, bounds: dict[int, Costs], limit: int) -> int:
        """Return how many states were reached with at most so many gates, -1 if the end was."""
        cost = np.full(len(self.frames.planes), NEVER, dtype=np.uint8)
        touched = np.empty(len(cost), dtype=np.int32)
        home = self.frames.home().astype(np.int32)
        now = {0: [(home, np.zeros(len(home), dtype=np.uint8))]}
        states = 0
        for _ in self.of:
            following: dict[int, list[tuple[NDArray[np.int32], Costs]]] = {}
            for done, seeds in now.items():
                count = self._reach(cost, touched, seeds, bounds[done & self.bounding], limit)
                here = touched[:count]
                states += count
                for k in self.ready(done, (1 << len(self.of)) - 1):
                    then = done | 1 << k
                    bound = bounds[then & self.bounding]
                    following.setdefault(then, []).extend(
                        self._done(cost, here, self.of[k].operators, bound, limit)
                    )
                cost[here] = NEVER
            now = {
                then: seeds for then, seeds in following.items() if any(len(s) for s, _ in seeds)
            }
        return -1 if now else states

    def _reach(self, cost, touched, seeds, bound, limit):  # type: ignore[no-untyped-def]
        count = 0
        for frames, values in seeds:
            count = _start(cost, touched, count, frames, values)
        return _spread(cost, touched, count, self.frames.next, bound, limit)

    def _done(self, cost, here, operators, bound, limit):  # type: ignore[no-untyped-def]
        """Yield the frames, and their costs, after a rotation that comes next."""
        alone = here[self.single[operators][here]]
        ways = [(alone, alone, 0)]
        if self.fractional:
            pairs = here[self.pair[operators][here] >= 0]
            ways += [(pairs, pairs, 1), (pairs, self.pair[operators][pairs], 1)]
        for frames, after, gates in ways:
            total = cost[frames].astype(np.int64) + gates
            kept = total + bound[after] <= limit
            yield after[kept], total[kept].astype(np.uint8)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _relax(cost, following, most):  # type: ignore[no-untyped-def]
    """Lower each frame's cost to that of a neighbour, and a gate."""
    for level in range(most):
        for frame in range(len(cost)):
            if cost[frame] == level:
                for other in following[frame]:
                    cost[other] = min(cost[other], level + 1)
    for frame in range(len(cost)):
        if cost[frame] > most:
            cost[frame] = NEVER


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _start(cost, touched, count, frames, values):  # type: ignore[no-untyped-def]
    for k in range(len(frames)):
        if cost[frames[k]] == NEVER:
            touched[count] = frames[k]
            count += 1
        cost[frames[k]] = min(cost[frames[k]], values[k])
    return count


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _spread(cost, touched, count, following, bound, limit):  # type: ignore[no-untyped-def]
    """Reach what gates lead to from the frames so far, as long as the end can be reached too."""
    for level in range(limit):
        k = 0
        while k < count:
            if cost[touched[k]] == level:
                for other in following[touched[k]]:
                    if cost[other] > level + 1 and level + 1 + bound[other] <= limit:
                        if cost[other] == NEVER:
                            touched[count] = other
                            count += 1
                        cost[other] = level + 1
            k += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--couplings", choices=("star", "path"), default="star")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--fractional", action="store_true")
    asked = parser.parse_args()
    frames = Frames(4, STAR if asked.couplings == "star" else PATH)
    print(f"{len(frames.planes):,} frames on a {asked.couplings} of four vertices", flush=True)
    search = Search(frames, ring(asked.layers, frames.every), asked.fractional)
    print(f"fewest: {search.fewest(11 * asked.layers)}")


if __name__ == "__main__":
    main()
