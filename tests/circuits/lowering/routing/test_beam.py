"""What the search counts is what Qiskit's synthesis of the routed circuit takes."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap

from qhybrid_circuits.lowering.blocks.collect import collect_blocks
from qhybrid_circuits.lowering.cost.couplings import couplings_of
from qhybrid_circuits.lowering.plan import routing_problem
from qhybrid_circuits.lowering.planner import PORTFOLIO
from qhybrid_circuits.lowering.routing.assembly import synthesize
from qhybrid_circuits.lowering.routing.routings import find_routings

QUBITS = 6


def rings(gate: str) -> QuantumCircuit:
    """Return gates on three pairs, then three rings of them, with rotations between."""
    circuit, rng = QuantumCircuit(QUBITS), np.random.default_rng(3)
    angles = 0 if gate in ("cx", "iswap") else 1
    ring = [(qubit, (qubit + 1) % QUBITS) for qubit in range(QUBITS)]
    for pair in [*ring[::2], *ring * 3]:
        getattr(circuit, gate)(*rng.uniform(0.2, 1, angles), *pair)
        circuit.ry(rng.uniform(0.2, 1), pair)
        circuit.rz(rng.uniform(0.2, 1), pair)
    return circuit


@pytest.mark.parametrize("gate", ["cx", "iswap", "crx", "rzz"])
@pytest.mark.parametrize("fractional", [False, True])
def test_gates_are_those_of_the_synthesized_circuit(gate: str, fractional: bool) -> None:
    basis = ["rz", "sx", "x", "cz", *(["rx", "rzz"] if fractional else [])]
    line = CouplingMap.from_line(QUBITS)
    target = GenericBackendV2(QUBITS, basis, coupling_map=line, seed=1).target
    blocks = collect_blocks(rings(gate))
    assert blocks is not None
    problem = routing_problem(blocks, fractional)
    compared = 0
    for routing in find_routings(problem, couplings_of(target), PORTFOLIO[:1]):
        place = {vertex: vertex for vertex in range(QUBITS)}
        circuit, _ = synthesize(blocks, routing, place, (), target)
        taken = circuit.num_nonlocal_gates()
        # Two CX that move a qubit onto |0> may take fewer together with the gate beside them.
        assert taken <= routing.gates
        if {block for block, *_ in routing.steps[:3]} == {0, 1, 2}:
            assert taken == routing.gates
            compared += 1
    assert compared
