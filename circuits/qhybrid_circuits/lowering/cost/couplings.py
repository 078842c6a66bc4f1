import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import rustworkx
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import InstructionProperties, Target

from qhybrid_circuits.errors import CircuitError
from qhybrid_circuits.lowering.cost.success import idle_success
from qhybrid_circuits.lowering.targets import two_qubit_gate

#: A coupling whose gate has at least this error is broken: calibrations write 1 for those.
BROKEN = 0.5

#: The logarithm that stands for a probability of zero.
_IMPOSSIBLE = -100.0


@dataclass(frozen=True)
class Couplings:
    """Pairs of qubits of a QPU that have a two-qubit gate, and the success of each operation.

    Attributes:
        num_qubits: Physical qubits.
        neighbours: Of each qubit, ascending.
        gate: Logarithm of the success of a two-qubit gate, by ascending pair.
        single: Logarithm of the success of a one-qubit pulse, for each qubit.
        readout: Logarithm of the success of a measurement, for each qubit.
        idle: Logarithm of the success of idling for one two-qubit gate, for each qubit.
        excluded: Qubits that must not be used.
    """

    num_qubits: int
    neighbours: tuple[tuple[int, ...], ...]
    gate: dict[tuple[int, int], float]
    single: tuple[float, ...]
    readout: tuple[float, ...]
    idle: tuple[float, ...]
    excluded: frozenset[int] = frozenset()

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return sorted(self.gate)

    @property
    def graph(self) -> "rustworkx.PyGraph[int, None]":
        """A graph with node q for qubit q."""
        return graph_of(range(self.num_qubits), self.pairs)

    def distance(self) -> list[list[int]]:
        """Return the number of couplings between any two qubits; num_qubits where no path is."""
        matrix = rustworkx.distance_matrix(self.graph, null_value=float(self.num_qubits))
        steps: list[list[int]] = matrix.astype(int).tolist()
        return steps

    def working(self) -> "Couplings":
        """Return the couplings without the broken ones and without broken qubits."""
        least = math.log(BROKEN)
        worst = [*map(min, self.single, self.readout)]
        broken = {qubit for qubit, success in enumerate(worst) if success <= least}
        known = self.gate.items()
        gate = {pair: value for pair, value in known if value > least and not broken & set(pair)}
        neighbours = tuple(
            tuple(v for v in row if (min(u, v), max(u, v)) in gate)
            for u, row in enumerate(self.neighbours)
        )
        return replace(self, neighbours=neighbours, gate=gate, excluded=frozenset(broken))


def graph_of(
    nodes: Iterable[int], pairs: Iterable[tuple[int, int]]
) -> "rustworkx.PyGraph[int, None]":
    """Return a graph with the nodes and an edge for each pair of indices of nodes."""
    graph: rustworkx.PyGraph[int, None] = rustworkx.PyGraph()
    graph.add_nodes_from(list(nodes))
    graph.add_edges_from_no_data(list(pairs))
    return graph


def embedding(
    needed: "rustworkx.PyGraph[int, None]", offered: "rustworkx.PyGraph[int, None]", steps: int
) -> dict[int, int] | None:
    """Return a node of `offered` for the index of each node of `needed` that keeps its edges.

    None where `steps` steps of the search find none.
    """
    mappings = rustworkx.vf2_mapping(
        offered, needed, subgraph=True, induced=False, call_limit=steps
    )
    mapping = next(iter(mappings), None)
    return None if mapping is None else {own: vertex for vertex, own in mapping.items()}


def interactions(circuit: QuantumCircuit) -> "rustworkx.PyGraph[int, None]":
    """Return the graph of a circuit's qubits, where edges join those that a gate acts on."""
    pairs = {
        (circuit.find_bit(one).index, circuit.find_bit(other).index)
        for item in circuit.data
        if item.operation.name != "barrier"
        for one, other in pairwise(item.qubits)
    }
    return graph_of(range(circuit.num_qubits), sorted(pairs))


def largest_part(graph: "rustworkx.PyGraph[int, None]") -> int:
    """Return the number of nodes in the largest connected component."""
    return max((len(part) for part in rustworkx.connected_components(graph)), default=0)


def couplings_of(target: Target) -> Couplings:
    """Return the couplings of a target with its calibration.

    Where no gate of a kind has a known error it counts as 0; where only some lack one, their
    calibration has failed, and it counts as 1.

    Raises:
        CircuitError: The target has no number of qubits.
    """
    if target.num_qubits is None:
        raise CircuitError(
            "Argument `target` must have a number of qubits; a simulator without one needs no "
            "lowering"
        )
    num_qubits = int(target.num_qubits)
    gate: dict[tuple[int, int], float] = {}
    seconds: list[float] = []
    name = two_qubit_gate(target)
    placed = target[name] if name else {}
    unknown = _unknown(placed.values())
    for place, properties in placed.items():
        if place is None:  # any pair can meet
            gate.update({(u, v): 0.0 for v in range(num_qubits) for u in range(v)})
            continue
        pair = (min(place), max(place))
        gate[pair] = max(gate.get(pair, -math.inf), _log_success(properties, unknown))
        if properties is not None and properties.duration:
            seconds.append(properties.duration)
    neighbours: list[list[int]] = [[] for _ in range(num_qubits)]
    for u, v in sorted(gate):
        neighbours[u].append(v)
        neighbours[v].append(u)
    step = float(np.median(seconds)) if seconds else 0.0
    return Couplings(
        num_qubits,
        tuple(tuple(sorted(row)) for row in neighbours),
        gate,
        _each(target, ("sx", "x", "rx"), num_qubits),
        _each(target, ("measure",), num_qubits),
        tuple(math.log(max(idle_success(target, q, step), 1e-12)) for q in range(num_qubits)),
    )


def _each(target: Target, names: Iterable[str], num_qubits: int) -> tuple[float, ...]:
    name = next((name for name in names if name in target.operation_names), None)
    placed = target[name] if name else {}
    unknown = _unknown(placed.values())
    return tuple(_log_success(placed.get((qubit,)), unknown) for qubit in range(num_qubits))


def _unknown(properties: Iterable[InstructionProperties | None]) -> float:
    """Return the logarithm of the success that gates with a missing error count with."""
    known = any(each is not None and each.error is not None for each in properties)
    return _IMPOSSIBLE if known else 0.0


def _log_success(properties: InstructionProperties | None, unknown: float) -> float:
    if properties is None or properties.error is None:
        return unknown
    return math.log(1.0 - properties.error) if properties.error < 1.0 else _IMPOSSIBLE
