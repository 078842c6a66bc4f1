from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rustworkx
from qiskit.quantum_info import Statevector

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_circuits.ansatz import basic_entangling, fqconv, hqconv

Builder = Callable[..., VariationalCircuit]


def pairs(variational: VariationalCircuit) -> set[frozenset[int]]:
    circuit = variational.circuit
    return {
        frozenset(circuit.find_bit(bit).index for bit in item.qubits)
        for item in circuit.data
        if len(item.qubits) == 2
    }


def is_native(edges: set[frozenset[int]], lattice: rustworkx.PyGraph) -> bool:
    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(12))
    graph.add_edges_from_no_data([tuple(edge) for edge in edges])
    return rustworkx.is_subgraph_isomorphic(lattice, graph, induced=False)


def heavy_hex() -> rustworkx.PyGraph:
    return rustworkx.generators.heavy_hex_graph(5)


@pytest.mark.parametrize("builder", [hqconv, fqconv])
def test_variants_are_native(builder: Builder) -> None:
    line = rustworkx.generators.path_graph(12)
    assert not is_native(pairs(builder()), heavy_hex())
    assert is_native(pairs(builder(topology="heavy-hex")), heavy_hex())
    assert is_native(pairs(builder(topology="line")), line)


@pytest.mark.parametrize("builder", [hqconv, fqconv])
@pytest.mark.parametrize("topology", ["heavy-hex", "line"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_variants_keep_weights_and_targets(builder: Builder, topology: str, channels: int) -> None:
    paper, ours = builder(channels=channels), builder(channels=channels, topology=topology)
    assert (ours.num_qubits, ours.num_weights) == (paper.num_qubits, paper.num_weights)
    for one, other in zip(paper.circuit.data, ours.circuit.data, strict=True):
        assert one.operation.name == other.operation.name
        assert [str(value) for value in one.params] == [str(value) for value in other.params]
        # The target is a gate's last qubit.
        assert paper.circuit.find_bit(one.qubits[-1]) == ours.circuit.find_bit(other.qubits[-1])


@pytest.mark.parametrize("builder", [hqconv, fqconv])
@pytest.mark.parametrize("topology", ["heavy-hex", "line"])
def test_every_weight_acts(builder: Builder, topology: str) -> None:
    variational = builder(channels=2, layers=1, topology=topology)
    rng = np.random.default_rng(0)
    inputs, weights = rng.normal(size=8), rng.random(variational.num_weights)

    def outputs(values: np.ndarray) -> np.ndarray:
        bound = variational.bind_weights(values)
        values_of = dict(zip(variational.inputs, inputs, strict=True))
        state = Statevector(bound.assign_parameters(values_of))
        return np.array([state.expectation_value(each).real for each in variational.observables])

    for index in range(variational.num_weights):
        moved = weights.copy()
        moved[index] += 0.1
        assert np.abs(outputs(moved) - outputs(weights)).max() > 1e-7, index


@pytest.mark.parametrize("topology", ["heavy-hex", "line"])
def test_an_open_ring_is_a_line_with_as_many_weights(topology: Any) -> None:
    paper, ours = basic_entangling(), basic_entangling(topology=topology)
    assert ours.num_weights == paper.num_weights
    assert is_native(pairs(ours), rustworkx.generators.path_graph(12))
    assert len(paper.circuit.data) - len(ours.circuit.data) == 4


def test_unknown_topology() -> None:
    with pytest.raises(CircuitError, match="'paper', 'heavy-hex' or 'line', but is 'ring'"):
        hqconv(topology="ring")
    with pytest.raises(CircuitError, match="'fqconv'"):
        fqconv(topology="ring")
    with pytest.raises(CircuitError, match="'basic_entangling'"):
        basic_entangling(topology="ring")
