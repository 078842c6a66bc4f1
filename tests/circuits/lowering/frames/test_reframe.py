import itertools
from collections.abc import Callable

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Statevector
from qiskit.transpiler import CouplingMap, Target

from qhybrid_circuits import lower
from qhybrid_circuits.ansatz import hqconv
from qhybrid_circuits.lowering.blocks.collect import BlockCircuit, collect_blocks
from qhybrid_circuits.lowering.frames.pauli_frames import FramePlan, FrameProblem, find_frames
from qhybrid_circuits.lowering.frames.reframe import Reframed, reframe
from qhybrid_circuits.lowering.frames.stars import Star, star_layouts
from tests.selection import thorough


def rings(sizes: tuple[int, ...], rounds: int, seed: int) -> QuantumCircuit:
    """Return rings of controlled rotations, each joined to the next one by another."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(sum(sizes))
    for qubit in range(circuit.num_qubits):
        circuit.rx(Parameter(f"x{qubit}"), qubit)
    for _ in range(rounds):
        first = 0
        for size in sizes:
            for k in range(size):
                pair = first + k, first + (k + 1) % size
                circuit.ry(rng.uniform(-3, 3), pair[0])
                circuit.crx(rng.uniform(1, 3), *(pair if rng.random() < 0.5 else pair[::-1]))
            first += size
            if first < circuit.num_qubits:
                circuit.crz(rng.uniform(1, 3), first - 1, first)
    return circuit


def clusters(sizes: tuple[int, ...], gates: tuple[str, ...], seed: int) -> QuantumCircuit:
    """Return all pairs of each cluster, twice, and a gate from each to the next one."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(sum(sizes))
    first = 0
    for size in sizes:
        for pair in [*itertools.combinations(range(first, first + size), 2)] * 2:
            for qubit in pair:
                circuit.u(*rng.uniform(-3, 3, 3), qubit)
            gate = gates[rng.integers(len(gates))]
            angles = () if gate in ("cx", "cz", "ecr") else (rng.uniform(1, 3),)
            getattr(circuit, gate)(*angles, *pair)
        first += size
        if first < circuit.num_qubits:
            circuit.cx(first - 1, first)
    return circuit


def reframed(circuit: QuantumCircuit, fractional: bool) -> Reframed | None:
    return reframe(_blocks(circuit), fractional, find_frames, lambda _: True)


def bound(circuit: QuantumCircuit) -> QuantumCircuit:
    values = np.random.default_rng(1).uniform(-3, 3, circuit.num_parameters)
    return circuit.assign_parameters(dict(zip(circuit.parameters, values, strict=True)))


def as_circuit(blocks: BlockCircuit) -> QuantumCircuit:
    circuit = QuantumCircuit(blocks.num_qubits)
    for block in blocks.blocks:
        for qubit, operations in zip(block.qubits, block.before, strict=True):
            for operation in operations:
                circuit.append(operation, [qubit])
        circuit.append(UnitaryGate(block.matrix), block.qubits)
    for qubit, operations in enumerate(blocks.after):
        for operation in operations:
            circuit.append(operation, [qubit])
    return circuit


def hqconv_circuit(channels: int, layers: int, seed: int = 0) -> QuantumCircuit:
    variational = hqconv(channels=channels, layers=layers)
    weights = np.random.default_rng(seed).random(variational.num_weights)
    return variational.bind_weights(weights)


@pytest.mark.parametrize("fractional", [False, *thorough([True])])
@pytest.mark.parametrize(
    "circuit",
    [
        hqconv_circuit(2, 1),
        rings((3, 3, 3), 1, seed=2),
        rings((4,), 3, seed=3),
        clusters((4,), ("cx", "ecr"), seed=4),
        clusters((4, 3), ("cx", "rzz", "cz", "cp"), seed=5),
        *thorough([hqconv_circuit(1, 2), rings((4, 3), 1, seed=1)]),
        *thorough([clusters((4,), ("rzz", "rxx"), seed=6)]),
    ],
    ids=["hqconv-2x1", "3-3-3", "4", "cx", "cx-and-rzz", "hqconv-1x2", "4-3", "rzz"],
)
def test_the_state_stays_the_same(circuit: QuantumCircuit, fractional: bool) -> None:
    found = reframed(circuit, fractional)
    assert found is not None
    # Vertices without a qubit start in |0>, and must end there.
    expected = QuantumCircuit(found.blocks.num_qubits)
    expected.compose(bound(circuit), list(found.final), inplace=True)
    overlap = Statevector(expected).inner(Statevector(bound(as_circuit(found.blocks))))
    assert abs(overlap) == pytest.approx(1.0, abs=1e-10)


def test_blocks_are_on_neighbours() -> None:
    circuit = rings((4, 3, 4), 1, seed=4)
    found = reframed(circuit, False)
    assert found is not None
    stars = layouts(circuit)[0]
    edges = {(star.vertices[u], star.vertices[v]) for star in stars for u, v in star.edges}
    meeting = stars[1].vertices[-1]
    edges |= {(meeting, stars[0].vertices[1]), (meeting, stars[2].vertices[1])}
    pairs = {frozenset(block.qubits) for block in found.blocks.blocks}
    assert pairs <= {frozenset(edge) for edge in edges}


@pytest.mark.thorough
def test_long_circuits_keep_their_precision() -> None:
    circuit = rings((4,), 8, seed=5)
    found = reframed(circuit, True)
    assert found is not None
    for block in found.blocks.blocks:
        np.testing.assert_allclose(block.matrix @ block.matrix.conj().T, np.eye(4), atol=1e-12)


def test_new_numbers_need_no_new_search() -> None:
    problems: list[set[FrameProblem]] = []
    for seed in (0, 1):
        found: list[FrameProblem] = []

        def find(problem: FrameProblem, found: list[FrameProblem] = found) -> FramePlan | None:
            found.append(problem)
            return find_frames(problem)

        reframe(_blocks(hqconv_circuit(2, 1, seed)), False, find, lambda _: True)
        problems.append(set(found))
    assert problems[0] == problems[1]


@pytest.mark.parametrize(
    "circuit",
    [rings((12,), 1, seed=6), hqconv(variant="released").circuit],
    ids=["ring-of-12", "no-ring"],
)
def test_other_shapes_are_left_to_the_router(circuit: QuantumCircuit) -> None:
    assert layouts(bound(circuit)) == []
    assert reframe(_blocks(bound(circuit)), False, find_frames, lambda _: True) is None


@pytest.mark.parametrize("fractional", [False, True])
def test_clifford_gates_alone_turn_the_frame(fractional: bool) -> None:
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.rx(0.3, qubit)
        circuit.cz(qubit, (qubit + 1) % 4)
    found = reframed(circuit, fractional)
    assert found is not None
    # On a star, the pair of two leaves is no coupling.
    assert len(found.blocks.blocks) <= 6


def test_stars_meet_beside_the_middle_one() -> None:
    stars = layouts(hqconv_circuit(3, 1))[0]
    assert [len(star.vertices) for star in stars] == [4, 5, 4]
    assert [star.qubits for star in stars] == [tuple(range(4 * k, 4 * k + 4)) for k in range(3)]
    assert stars[1].meets == {(0, 4): 4, (4, 8): 4}
    assert stars[0].meets == {(0, 4): 1}


def test_stars_meet_beside_the_outer_ones_where_the_middle_one_has_no_room() -> None:
    """As on devices of 16 qubits, where no vertex is next to all three stars."""
    second = layouts(hqconv_circuit(3, 1))[1]
    assert [len(star.vertices) for star in second] == [5, 4, 5]
    assert [star.meets for star in second] == [{(0, 4): 4}, {(0, 4): 1, (4, 8): 2}, {(4, 8): 4}]


@pytest.mark.parametrize(("others", "fit"), [(3, True), (4, False)])
def test_bridges_of_one_cluster_have_room_for_three(others: int, fit: bool) -> None:
    """Two at its meeting place and one at the leaf that does not touch it: of three qubits."""
    hub = QuantumCircuit(3 + 3 * others)
    for ring in range(1 + others):
        for qubit in range(3):
            hub.crx(0.1, 3 * ring + qubit, 3 * ring + (qubit + 1) % 3)
        if ring:
            hub.crx(0.2, ring % 3, 3 * ring)
    assert bool(layouts(hub)) == fit


def test_a_device_without_stars_is_routed(line: Target) -> None:
    circuit = hqconv_circuit(1, 1)
    lowered = lower(circuit, line, cache=False)
    assert lowered.swaps is not None
    assert lowered.swaps > 0


def layouts(circuit: QuantumCircuit) -> list[list[Star]]:
    blocks = _blocks(circuit).blocks
    return list(star_layouts(circuit.num_qubits, [block.qubits for block in blocks]))


def _blocks(circuit: QuantumCircuit) -> BlockCircuit:
    blocks = collect_blocks(circuit)
    assert blocks is not None
    return blocks


@pytest.fixture
def line() -> Target:
    coupling = CouplingMap.from_line(12)
    gates = ["cz", "rz", "sx", "x"]
    return GenericBackendV2(12, gates, coupling_map=coupling, seed=1).target


def test_stars_are_found_on_heavy_hex(fake_target: Callable[[str], Target]) -> None:
    lowered = lower(hqconv_circuit(1, 2), fake_target("FakeFez"), cache=False)
    assert lowered.circuit.num_nonlocal_gates() == 20
    assert lowered.swaps == 0
    used = {
        frozenset(lowered.circuit.find_bit(bit).index for bit in item.qubits)
        for item in lowered.circuit.data
        if len(item.qubits) == 2
    }
    # Three pairs with one vertex in common.
    assert len(used) == 3
    assert len(frozenset.intersection(*used)) == 1


def test_nothing_is_searched_for_a_device_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(problem: FrameProblem) -> FramePlan:
        raise AssertionError(problem)

    monkeypatch.setattr("qhybrid_circuits.lowering.planner.find_frames", searched)
    gates = ["cz", "rz", "sx", "x"]
    line = GenericBackendV2(8, gates, coupling_map=CouplingMap.from_line(8), seed=1).target
    circuit = bound(hqconv_circuit(1, 1))
    assert lower(circuit, line, cache=False).circuit.num_nonlocal_gates() >= 8


def test_rotations_by_nothing_take_no_frames() -> None:
    circuit = QuantumCircuit(4)
    for _ in range(2):
        for k in range(4):
            circuit.ry(0.3 + k, k)
            circuit.crx(0.0, k, (k + 1) % 4)
    assert reframed(circuit, False) is None
    assert reframed(circuit, True) is None
