from collections.abc import Iterable, Sequence

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target, generate_preset_pass_manager

from qhybrid_circuits.lowering.couplings import Couplings
from qhybrid_circuits.lowering.targets import restricted_target

#: A device of up to this many times the circuit's qubits is given to the pass manager whole.
_WHOLE = 2

#: Qubits beyond those that the pass manager is given of a larger device.
_EXTRA = 4


def stock_candidates(
    circuit: QuantumCircuit, target: Target, device: Couplings, seeds: Iterable[int]
) -> list[tuple[QuantumCircuit, tuple[int, ...]]]:
    """Lower a circuit by Qiskit's own pass manager at its highest level, once a seed.

    Of a large device it sees a part around the middle: its search for a better place of circuits
    that fall into unconnected parts takes minutes on a whole one.

    Returns:
        For each seed the circuit, as wide as the target, and the final physical qubit of each
        logical one.
    """
    part = _middle(device, _WHOLE * circuit.num_qubits + _EXTRA)
    small = restricted_target(target, part)
    found = []
    for seed in seeds:
        manager = generate_preset_pass_manager(3, target=small, seed_transpiler=seed)
        lowered = manager.run(circuit)
        final = tuple(part[qubit] for qubit in lowered.layout.final_index_layout())
        wide = QuantumCircuit(device.num_qubits, global_phase=lowered.global_phase)
        for item in lowered.data:
            place = [part[lowered.find_bit(bit).index] for bit in item.qubits]
            wide.append(item.operation, place, copy=False)
        found.append((wide, final))
    return found


def _middle(device: Couplings, size: int) -> Sequence[int]:
    """Return the `size` qubits of the largest connected part that are nearest to its middle."""
    if size >= device.num_qubits:
        return range(device.num_qubits)
    distance = device.distance()
    connected = [sum(d < device.num_qubits for d in row) for row in distance]
    middle = max(
        range(device.num_qubits),
        key=lambda q: (connected[q], -sum(min(d, device.num_qubits) for d in distance[q])),
    )
    nearest = sorted(range(device.num_qubits), key=lambda q: distance[middle][q])
    return sorted(nearest[:size])
