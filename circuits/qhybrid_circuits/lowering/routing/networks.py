"""Networks of CX between layers of one-qubit gates, routed as matrices of bits.

A network of CX maps basis states by adding bits, so that each vertex holds a sum of the bits that
the qubits had before it. A CX on a coupling adds the sum of one vertex to that of the other. The
network is done as soon as each of its results is on a vertex of its own, whichever that is: qubits
move for nothing where they would take swaps. This is architecture-aware synthesis (Kissinger and
Meijer-van de Griend, arXiv:1904.00633) with free final places, by a beam search.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Operation, QuantumCircuit
from qiskit.circuit.library import CXGate
from qiskit.transpiler import Target

from qhybrid_circuits.lowering.blocks.collect import Matrix
from qhybrid_circuits.lowering.blocks.synthesis import append_pair, to_target_gates
from qhybrid_circuits.lowering.cost.couplings import Couplings, embedding, graph_of
from qhybrid_circuits.lowering.lowered import Candidate
from qhybrid_circuits.lowering.routing.problem import Routing

#: Vertices that a search may use, since it has a number for each set of them, and searches.
_MOST_VERTICES, _STARTS = 18, 6

#: Steps that the search for a path may take.
_PATH_STEPS = 100_000

#: Networks that are routed at most: a circuit with more has its CX one by one, not in networks.
_MOST_NETWORKS = 32

#: States kept for each number of gates, layouts kept between networks, and gates beyond the fewest
#: with which these are still looked for.
_WIDTH, _LAYOUTS, _SLACK = 400, 24, 2

#: Gates without coming nearer after which a search is given up.
_PATIENCE = 24

#: Plans that are placed on a QPU, and times the fewest gates that they may take.
_PLANS, _WORTH_PLACING = 3, 1.15

#: Weight of the vertices that hold a result, relative to those that add up to it.
_HELD = 0.5

#: From the first qubit of a pair to the second, the less significant one first.
_CX: Matrix = CXGate().to_matrix()

_ONE = np.uint32(1)

Bits = NDArray[np.uint32]
Layout = tuple[int, ...]
Pair = tuple[int, int]


class Networks(NamedTuple):
    """A circuit as networks of CX with one-qubit gates between them.

    Attributes:
        num_qubits: Logical qubits.
        pairs: Control and target of each CX, by network; a swap is three.
        gates: The one-qubit gates before each network and after the last, each with its qubit.
    """

    num_qubits: int
    pairs: list[list[Pair]]
    gates: list[list[tuple[int, Operation]]]

    def matrix(self, network: int, *, inverse: bool = False) -> NDArray[np.uint32]:
        """Return the sum of bits that each qubit holds after a network, a row for each.

        Or the inverse of that matrix, which is that of the same CX in reverse.
        """
        rows = np.eye(self.num_qubits, dtype=np.uint32)
        for control, target in self.pairs[network][:: -1 if inverse else 1]:
            rows[target] ^= rows[control]
        return rows


@dataclass(frozen=True)
class NetworkPlan:
    """How networks run on a QPU.

    Attributes:
        layouts: Vertex of each logical qubit at the beginning and after each network.
        steps: The CX of each network, from vertex to vertex.
    """

    layouts: tuple[Layout, ...]
    steps: tuple[tuple[Pair, ...], ...]

    @property
    def gates(self) -> int:
        """Two-qubit gates."""
        return sum(map(len, self.steps))

    @property
    def vertices(self) -> tuple[int, ...]:
        """All vertices in use, ascending."""
        pairs = (pair for network in self.steps for pair in network)
        return tuple(sorted({vertex for each in (*self.layouts, *pairs) for vertex in each}))

    def on(self, places: Sequence[int]) -> "NetworkPlan":
        """Return the same plan with `places[k]` in place of the k-th of its vertices."""
        where = dict(zip(self.vertices, places, strict=True))
        return NetworkPlan(
            tuple(tuple(where[vertex] for vertex in layout) for layout in self.layouts),
            tuple(tuple((where[u], where[v]) for u, v in network) for network in self.steps),
        )

    def lower(self, networks: Networks, target: Target) -> Candidate:
        """Return the circuit in the target's gates, at the plan's vertices."""
        circuit = QuantumCircuit(int(target.num_qubits or 0))
        for number, layout in enumerate(self.layouts):
            for qubit, operation in networks.gates[number]:
                circuit.append(operation, [layout[qubit]], copy=False)
            for pair in self.steps[number] if number < len(self.steps) else ():
                append_pair(circuit, _CX, pair, target)
        return Candidate(to_target_gates(circuit, target), self.layouts[-1], 0)

    def to_json(self) -> list[Any]:
        return [self.layouts, self.steps]

    @classmethod
    def from_json(cls, content: Any) -> "NetworkPlan":
        layouts, steps = content
        pairs = tuple(tuple((u, v) for u, v in network) for network in steps)
        return cls(tuple(tuple(layout) for layout in layouts), pairs)


def split_networks(circuit: QuantumCircuit) -> Networks | None:
    """Split a circuit into networks.

    None where a gate on more than one qubit is neither cx nor swap, and where there are too many.
    """
    pairs: list[list[Pair]] = []
    gates: list[list[tuple[int, Operation]]] = [[]]
    touched: set[int] = set()
    for item in circuit.data:
        name, qubits = item.operation.name, [circuit.find_bit(bit).index for bit in item.qubits]
        if name == "barrier":
            continue
        if len(qubits) == 1 and not item.clbits:
            if qubits[0] in touched:
                gates.append([])
                touched = set()
            # Gates on qubits that the network has not met may as well come before it.
            gates[-1].append((qubits[0], item.operation))
        elif name in ("cx", "swap"):
            if len(pairs) < len(gates):
                pairs.append([])
            there, back = (qubits[0], qubits[1]), (qubits[1], qubits[0])
            pairs[-1] += [there] if name == "cx" else [there, back, there]
            touched.update(qubits)
        else:
            return None
    if len(gates) == len(pairs):
        gates.append([])
    return Networks(circuit.num_qubits, pairs, gates) if 0 < len(pairs) <= _MOST_NETWORKS else None


class _Path(NamedTuple):
    """The end of a way through the search: a CX, or the layout where a network is done."""

    before: "_Path | None"
    gates: int
    edge: int
    layout: Layout | None


class NetworkRouter:
    """A beam search for the fewest CX on some vertices of a QPU."""

    def __init__(self, vertices: Sequence[int], couplings: Couplings) -> None:
        """Prepare for searches on at most `_MOST_VERTICES` vertices."""
        self.vertices = tuple(vertices)
        index = {vertex: k for k, vertex in enumerate(vertices)}
        self.edges = [
            (index[u], index[v]) for u in vertices for v in couplings.neighbours[u] if v in index
        ]
        ends = np.array(self.edges, dtype=np.uint32)
        self.control, self.target = ends[None, :, :1], ends[None, :, 1:]
        steps = couplings.distance()
        self.length = _lengths(np.array([[steps[u][v] for v in vertices] for u in vertices]))

    def route(self, networks: Networks, start: Sequence[int]) -> NetworkPlan | None:
        """Return a plan from a layout, None where none is found."""
        layout = tuple(self.vertices.index(vertex) for vertex in start)
        paths = [_Path(None, 0, -1, layout)]
        for number in range(len(networks.pairs)):
            paths = self._through(networks, number, paths)
            if not paths:
                return None
        return self._plan(min(paths, key=lambda path: path.gates))

    def _through(self, networks: Networks, number: int, paths: list[_Path]) -> list[_Path]:
        """Return ways through the next network that end in different layouts."""
        matrix, inverse = networks.matrix(number), networks.matrix(number, inverse=True)
        waiting = sorted(paths, key=lambda path: path.gates)
        gates, nearest = waiting[0].gates, np.inf
        most = gates + _PATIENCE
        found: dict[Layout, _Path] = {}
        held = np.empty((0, networks.num_qubits), dtype=np.uint32)
        needed, beam = held, list[_Path]()
        while gates <= most and len(found) < _LAYOUTS:
            while waiting and waiting[0].gates == gates:
                beam.append(waiting.pop(0))
                place = np.left_shift(_ONE, np.array(beam[-1].layout, dtype=np.uint32))
                # Each vertex adds a bit of its own: the products are masks.
                held = np.vstack([held, place @ inverse])
                needed = np.vstack([needed, matrix @ place])
            far = self._far(held, needed)
            if far.min() < nearest:
                nearest = far.min()
                most = gates + (_PATIENCE if nearest else _SLACK)
            for state in np.flatnonzero(far == 0.0):
                layout = tuple(int(mask).bit_length() - 1 for mask in held[state])
                found.setdefault(layout, _Path(beam[state], gates, -1, layout))
            held, needed, beam = self._step(held, needed, beam, gates + 1)
            gates += 1
        return list(found.values())

    def _step(
        self, held: Bits, needed: Bits, beam: list[_Path], gates: int
    ) -> tuple[Bits, Bits, list[_Path]]:
        """Return the most promising states after one more CX."""
        u, v = self.control, self.target
        # The target's sum becomes one with the control's: it holds what that holds, and who needed
        # its old sum needs both.
        after: Bits = held[:, None] ^ (held[:, None] >> u & _ONE) << v
        wanting: Bits = needed[:, None] ^ (needed[:, None] >> v & _ONE) << u
        order = np.argsort(self._far(after, wanting), axis=None, kind="stable")
        chosen: dict[bytes, tuple[int, int]] = {}
        for place in order[: 4 * _WIDTH].tolist():
            state, edge = divmod(place, len(self.edges))
            chosen.setdefault(after[state, edge].tobytes(), (state, edge))
            if len(chosen) == _WIDTH:
                break
        states, edges = (list(each) for each in zip(*chosen.values(), strict=True))
        paths = [_Path(beam[k], gates, e, None) for k, e in chosen.values()]
        return after[states, edges], wanting[states, edges], paths

    def _far(self, held: Bits, needed: Bits) -> NDArray[np.float32]:
        """Return how far apart the parts of all results are, (..., results) to (...)."""
        far = _HELD * self.length[held].sum(-1) + self.length[needed].sum(-1)
        return np.asarray(far, dtype=np.float32)

    def _plan(self, end: _Path) -> NetworkPlan:
        layouts: list[Layout] = []
        steps: list[list[Pair]] = []
        path: _Path | None = end
        while path is not None:
            if path.layout is not None:
                layouts.append(tuple(self.vertices[vertex] for vertex in path.layout))
                steps.append([])
            else:
                u, v = self.edges[path.edge]
                steps[-1].append((self.vertices[u], self.vertices[v]))
            path = path.before
        # The last ones of both were met first; no steps lead to the first layout.
        return NetworkPlan(tuple(layouts[::-1]), tuple(tuple(s[::-1]) for s in steps[-2::-1]))


def _lengths(distance: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return, for each set of vertices, about how many couplings join them: 0 for one vertex."""
    lengths = np.zeros(1 << len(distance), dtype=np.float32)
    for vertex, row in enumerate(distance):
        below = np.arange(1 << vertex)
        nearest = np.full(1 << vertex, np.inf, dtype=np.float32)
        for other in range(vertex):
            member = (below >> other & 1).astype(bool)
            nearest[member] = np.minimum(nearest[member], row[other])
        nearest[0] = 0.0
        lengths[1 << vertex : 2 << vertex] = lengths[: 1 << vertex] + nearest
    return lengths


def _along_a_path(networks: Networks, couplings: Couplings) -> Layout | None:
    """Return a layout on a path of the QPU, those near each other that interact; None without one.

    They come in the order of the Fiedler vector: a chain from end to end, a ring from both sides.
    """
    size = networks.num_qubits
    laplacian = np.zeros((size, size))
    for a, b in (pair for network in networks.pairs for pair in network):
        laplacian[[a, b, a, b], [a, b, b, a]] += 1.0, 1.0, -1.0, -1.0
    _, vectors = np.linalg.eigh(laplacian)
    line = graph_of(range(size), list(pairwise(range(size))))
    path = embedding(line, couplings.graph, _PATH_STEPS)
    if path is None:
        return None
    # A network has two qubits at least, so that there is a second vector.
    places = np.argsort(np.argsort(vectors[:, 1], kind="stable"), kind="stable")
    return tuple(path[place] for place in places.tolist())


def route_networks(
    networks: Networks, routings: Sequence[Routing], couplings: Couplings
) -> list[NetworkPlan]:
    """Return plans from where other routings start and along a path, those of few gates.

    None where no search finds one, and where these take too many vertices.
    """
    path = _along_a_path(networks, couplings)
    starts = {path: sorted(path)} if path else {}
    for routing in routings:
        vertices = sorted({vertex for _, *pair in routing.steps for vertex in pair})
        # Parts that share no block have vertices of their own, beyond the QPU's.
        if min(routing.start) >= 0 and vertices[-1] < couplings.num_qubits:
            starts.setdefault(routing.start, vertices)
    found = [
        NetworkRouter(vertices, couplings).route(networks, start)
        for start, vertices in list(starts.items())[:_STARTS]
        if len(vertices) <= _MOST_VERTICES
    ]
    plans = sorted((plan for plan in found if plan), key=lambda plan: plan.gates)
    return [plan for plan in plans if plan.gates <= _WORTH_PLACING * plans[0].gates][:_PLANS]
