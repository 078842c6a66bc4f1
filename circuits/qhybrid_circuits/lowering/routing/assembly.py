from collections.abc import Mapping, Sequence

from qiskit.circuit import Operation, QuantumCircuit
from qiskit.circuit.library import CXGate
from qiskit.transpiler import Target

from qhybrid_circuits.lowering.blocks.collect import SWAP, BlockCircuit, Matrix
from qhybrid_circuits.lowering.blocks.synthesis import append_pair, to_target_gates
from qhybrid_circuits.lowering.routing.problem import Routing

#: |x>|0> to |0>|x> with two CX: from the less significant qubit, and from the other one.
_CX_FROM_FIRST: Matrix = CXGate().to_matrix()
_CX_FROM_SECOND: Matrix = SWAP @ _CX_FROM_FIRST @ SWAP
_MOVE_FROM_FIRST: Matrix = _CX_FROM_SECOND @ _CX_FROM_FIRST
_MOVE_FROM_SECOND: Matrix = _CX_FROM_FIRST @ _CX_FROM_SECOND


class Assembly:
    """The routed circuit as one matrix for each run of operations on a pair."""

    def __init__(
        self,
        blocks: BlockCircuit,
        routing: Routing,
        placement: Mapping[int, int],
        spare: Sequence[int],
    ) -> None:
        self.blocks = blocks
        unused = iter(spare)
        self.where = [placement[v] if v >= 0 else next(unused) for v in routing.start]
        self.who = {vertex: qubit for qubit, vertex in enumerate(self.where)}
        self.runs: list[tuple[tuple[int, int], Matrix]] = []
        self.items: list[tuple[tuple[int, ...], Operation | int]] = []
        self.last: dict[int, int] = {}  # physical qubit -> index of its last run
        self.touched: set[int] = set()  # physical qubits that have left |0>
        self.waiting: list[list[tuple[int, Operation]]] = [[] for _ in self.where]
        for index, block in enumerate(blocks.blocks):
            for qubit, operations in zip(block.qubits, block.before, strict=True):
                self.waiting[qubit] += [(index, operation) for operation in operations]
        for index, u, v in routing.steps:
            pair = (placement[u], placement[v])
            if index < 0:
                self.swap(*pair)
            else:
                self.block(index, *pair)

    def act(self, u: int, v: int, matrix: Matrix) -> None:
        """Multiply a matrix onto the last run of a pair, or begin a run."""
        run = self.last.get(u, -1)
        if run < 0 or run != self.last.get(v, -1):
            self.items.append(((u, v), len(self.runs)))
            self.last[u] = self.last[v] = len(self.runs)
            self.runs.append(((u, v), matrix))
            return
        pair, former = self.runs[run]
        self.runs[run] = (pair, (matrix if pair == (u, v) else SWAP @ matrix @ SWAP) @ former)

    def block(self, index: int, u: int, v: int) -> None:
        block = self.blocks.blocks[index]
        for vertex, qubit in zip((u, v), block.qubits, strict=True):
            waiting = self.waiting[qubit]
            # Blocks that commute may come in another order than their encodings stand in.
            while waiting and waiting[0][0] <= index:
                self.items.append(((vertex,), waiting.pop(0)[1]))
                self.last[vertex] = -1
        self.act(u, v, block.matrix)
        self.touched |= {u, v}

    def swap(self, u: int, v: int) -> None:
        # Encodings wait for a qubit's first block, so a qubit without one is still in |0>.
        if u in self.touched and v in self.touched:
            matrix = SWAP
        else:
            matrix = _MOVE_FROM_FIRST if u in self.touched else _MOVE_FROM_SECOND
        self.act(u, v, matrix)
        if (u in self.touched) != (v in self.touched):
            self.touched ^= {u, v}
        there, here = self.who.pop(u, None), self.who.pop(v, None)
        for vertex, qubit in ((v, there), (u, here)):
            if qubit is not None:
                self.who[vertex] = qubit
                self.where[qubit] = vertex


def synthesize(
    blocks: BlockCircuit,
    routing: Routing,
    placement: Mapping[int, int],
    spare: Sequence[int],
    target: Target,
) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Write a routed circuit in the target's gates; an rzz in it is used.

    `placement` is the physical qubit of each vertex that the routing uses, `spare` are those for
    the logical ones that no block acts on, in their order.

    Returns:
        The circuit on all of the target's qubits, and the final physical qubit of each logical one.
    """
    assembly = Assembly(blocks, routing, placement, spare)
    final = tuple(assembly.where)
    circuit = QuantumCircuit(int(target.num_qubits or 0), global_phase=blocks.global_phase)
    for place, content in assembly.items:
        if isinstance(content, int):
            pair, matrix = assembly.runs[content]
            append_pair(circuit, matrix, pair, target)
        else:
            circuit.append(content, list(place), copy=False)
    for qubit, operations in enumerate(blocks.after):
        for operation in operations:
            circuit.append(operation, [final[qubit]], copy=False)
    return to_target_gates(circuit, target), final
