from collections.abc import Callable

import numpy as np
import pytest
import rustworkx
from qiskit.circuit import QuantumCircuit
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Statevector
from qiskit.transpiler import CouplingMap, Target

from qhybrid_circuits import CircuitError, LoweredCircuit, ShapeError, lower
from qhybrid_circuits.ansatz import basic_entangling, fqconv, hqconv
from qhybrid_circuits.lowering.placement.copies import pack
from qhybrid_circuits.lowering.placement.regions import disjoint_regions, lower_copies
from tests.selection import thorough

FakeTarget = Callable[[str], Target]


def lowered(target: Target, variational=None, seed: int = 0, **options) -> LoweredCircuit:
    variational = variational or basic_entangling()
    weights = np.random.default_rng(seed).random(variational.num_weights)
    return lower(variational, target, weights=weights, cache=False, **options)


def apart(target: Target, one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return the unused qubits between two regions."""
    graph = target.build_coupling_map().graph.to_undirected()
    distance = rustworkx.distance_matrix(graph)
    return int(min(distance[a, b] for a in one for b in other)) - 1


@pytest.mark.parametrize("device", ["FakeFez", *thorough(["FakeBrisbane", "FakeNighthawk"])])
@pytest.mark.parametrize("buffer", [1, *thorough([2])])
def test_regions_keep_apart(device: str, buffer: int, fake_target: FakeTarget) -> None:
    target = fake_target(device)
    regions = disjoint_regions(target, lowered(target), 6, buffer=buffer)
    assert len(regions) == 6
    for index, one in enumerate(regions):
        for other in regions[:index]:
            assert apart(target, one, other) >= buffer


@pytest.mark.thorough
def test_as_many_as_fit(fake_target: FakeTarget) -> None:
    target = fake_target("FakeFez")
    # Four qubits and, on a lattice with three couplings a qubit at most, their buffer.
    assert len(disjoint_regions(target, lowered(target))) >= 18
    assert len(disjoint_regions(target, lowered(target, fqconv(layers=1)))) >= 4
    line = GenericBackendV2(
        9, ["cz", "rz", "sx", "x"], coupling_map=CouplingMap.from_line(9), seed=1
    )
    assert len(disjoint_regions(line.target, lowered(line.target))) == 2
    assert len(disjoint_regions(line.target, lowered(line.target), 5)) == 2


def test_copies_are_ranked_and_do_the_same(fake_target: FakeTarget) -> None:
    target = fake_target("FakeBrisbane")  # its gates have a direction
    variational = hqconv(channels=1, layers=1)
    one = lowered(target, variational)
    copies = lower_copies(one, target, disjoint_regions(target, one, 3))
    assert copies[0].success_probability == pytest.approx(one.success_probability, rel=0.05)
    inputs = np.linspace(-1, 1, 4)
    for copy in copies:
        assert copy.swaps == one.swaps
        for item in copy.circuit.data:
            place = tuple(copy.circuit.find_bit(bit).index for bit in item.qubits)
            assert target.instruction_supported(item.operation.name, place)
        np.testing.assert_allclose(
            outputs(copy, variational, inputs), outputs(one, variational, inputs)
        )


def outputs(circuit: LoweredCircuit, variational, inputs: np.ndarray) -> list[float]:
    small, final = circuit.compact()
    state = Statevector(small.assign_parameters(inputs))
    return [
        state.expectation_value(each.apply_layout(list(final), small.num_qubits)).real
        for each in variational.observables
    ]


@pytest.mark.parametrize("fractional", [False, True])
def test_a_packed_circuit_serves_all_its_members(fractional: bool, fake_target: FakeTarget) -> None:
    target = fake_target("FakeFez")
    variational = hqconv(channels=1, layers=1)
    one = lowered(target, variational, fractional=fractional)
    copies = lower_copies(one, target, disjoint_regions(target, one, 3))
    packed = pack(copies)
    assert packed.circuit.num_parameters == 12
    assert packed.success_probability == pytest.approx(
        np.prod([copy.success_probability for copy in copies])
    )
    rows = [np.random.default_rng(seed).normal(size=(2, 4)) for seed in range(3)]
    values = packed.parameter_values(rows)
    assert values.shape == (2, 12)
    used = sorted(qubit for copy in copies for qubit in copy.qubits)
    small = on_qubits(packed.circuit, used)
    for row in range(2):
        state = Statevector(small.assign_parameters(values[row]))
        for member in range(3):
            found = []
            for observable in variational.observables:
                wide = packed.apply_layout(observable, member)
                found.append(state.expectation_value(restricted(wide, used)).real)
            expected = outputs(one, variational, rows[member][row])
            np.testing.assert_allclose(found, expected, atol=1e-9)


def on_qubits(circuit: QuantumCircuit, used: list[int]) -> QuantumCircuit:
    small = QuantumCircuit(len(used))
    for item in circuit.data:
        small.append(
            item.operation, [used.index(circuit.find_bit(bit).index) for bit in item.qubits]
        )
    return small


def restricted(observable, used: list[int]):
    terms = [
        (label, [used.index(q) for q in where], value)
        for label, where, value in observable.to_sparse_list()
    ]
    return type(observable).from_sparse_list(terms, len(used))


def test_errors_say_what_is_wrong(fake_target: FakeTarget) -> None:
    target, small = fake_target("FakeFez"), hqconv(channels=1, layers=1)
    one = lowered(target, small)
    with pytest.raises(CircuitError, match="at least one"):
        pack([])
    with pytest.raises(CircuitError, match="used twice"):
        pack([one, one])
    with pytest.raises(CircuitError, match=r"\[127, 156\]"):
        pack([one, lowered(fake_target("FakeBrisbane"), small)])
    with pytest.raises(CircuitError, match="at least 1 and 0"):
        disjoint_regions(target, one, 0)
    with pytest.raises(ShapeError, match=r"\[4\]"):
        pack([one]).parameter_values([np.zeros((2, 3))])
