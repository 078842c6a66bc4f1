import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.quantum_info import Clifford, Pauli

from qhybrid_circuits.lowering.frames.pauli_frames import (
    BITS,
    FramePlan,
    FrameProblem,
    anticommute,
    find_frames,
    own_operators,
)
from tests.circuits.lowering.frames.rings import ring, x, z

STAR = ((0, 1), (0, 2), (0, 3))
LINE = ((0, 1), (1, 2), (2, 3))


def as_pauli(operator: int, size: int) -> Pauli:
    bits = np.arange(size)
    return Pauli(((operator >> BITS >> bits & 1).astype(bool), (operator >> bits & 1).astype(bool)))


def replayed(problem: FrameProblem, plan: FramePlan) -> tuple[set[int], list[Pauli]]:
    """Run a plan with Qiskit's Pauli operators.

    Returns the events that did not happen, and what the qubits' own operators become.
    """
    size = problem.num_vertices
    circuit = QuantumCircuit(size)

    def image(operator: int) -> Pauli:
        # Where a qubit starts is a relabelling.
        moved = Pauli("I" * size)
        start = as_pauli(operator, size)
        moved.x = start.x[list(plan.start)]
        moved.z = start.z[list(plan.start)]
        return moved.evolve(Clifford(circuit), frame="s")

    left = set(range(len(problem.events)))

    def free(index: int) -> bool:
        event = problem.events[index]
        return not any(
            earlier in left and anticommute(problem.events[earlier].operator, event.operator)
            for earlier in range(index)
        )

    def happen() -> None:
        for index in sorted(left):
            event = problem.events[index]
            for operator in {event.operator, event.operator ^ problem.idle}:
                on = np.flatnonzero(image(operator).x | image(operator).z)
                if free(index) and len(on) == 1 and event.vertex in (-1, on[0]):
                    left.discard(index)

    for move in plan.moves:
        happen()
        assert move.pair in problem.edges
        both = image(move.operators[0]).dot(image(move.operators[1]))
        support = np.flatnonzero(both.x | both.z).tolist()
        assert sorted(support) == sorted(move.pair)
        if problem.fractional:
            product = move.operators[0] ^ move.operators[1]
            same = {product, product ^ problem.idle}
            left -= {k for k in left if problem.events[k].operator in same and free(k)}
        if move.turn:
            label = Pauli((both.z, both.x)).to_label()
            circuit.append(PauliEvolutionGate(Pauli(label), np.pi / 4), range(size))
            circuit = circuit.decompose(reps=4)
            circuit = Clifford(circuit).to_circuit()
    for _ in problem.events:
        happen()
    return left, [image(op) for q in range(size) for op in (x(q), z(q))]


@pytest.mark.parametrize(
    ("edges", "steps", "fractional", "gates"),
    [
        (STAR, 2, False, 4),
        (LINE, 3, False, 6),
        (STAR, 4, False, 10),
        # With swaps merged into rotations 22 and 17 are the fewest.
        (STAR, 8, False, 20),
        (STAR, 8, True, 15),
    ],
)
def test_rings_take_few_gates(
    edges: tuple[tuple[int, int], ...], steps: int, fractional: bool, gates: int
) -> None:
    problem = FrameProblem(4, edges, ring(steps), own_operators(4), 0, fractional)
    plan = find_frames(problem)
    assert plan is not None
    assert len(plan.moves) == gates
    left, images = replayed(problem, plan)
    assert not left
    assert all((each.x | each.z).sum() == 1 for each in images)


@pytest.mark.parametrize("fractional", [False, True])
def test_a_rotation_beyond_the_star_is_where_it_must_be(fractional: bool) -> None:
    edges = (*STAR, (1, 4))
    problem = FrameProblem(5, edges, ring(4, port=4), own_operators(5), z(4), fractional)
    plan = find_frames(problem)
    assert plan is not None
    left, images = replayed(problem, plan)
    assert not left
    assert all((each.x | each.z).sum() == 1 for each in images)


def test_a_plan_survives_json() -> None:
    plan = find_frames(FrameProblem(4, STAR, ring(2), own_operators(4), 0, False))
    assert plan is not None
    assert FramePlan.from_json(plan.to_json()) == plan


def test_operators_anticommute_as_paulis_do() -> None:
    rng = np.random.default_rng(0)
    for one, other in rng.integers(0, 1 << 2 * BITS, (50, 2)):
        same = as_pauli(int(one), BITS).commutes(as_pauli(int(other), BITS))
        assert anticommute(int(one), int(other)) == (not same)
