from dataclasses import dataclass
from itertools import count

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import PassManager, Target
from qiskit.transpiler.passes import Unroll3qOrMore

from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.encoding import state_tree
from qhybrid_circuits.lowering.lower import lower
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.device_noise.attribution import attribute_noise
from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.device_noise.noisy_circuit import NoisyCircuit
from qhybrid_runtime.device_noise.readout import with_readout_error
from qhybrid_runtime.device_noise.two_qubit_runs import GateRun, two_qubit_runs
from qhybrid_runtime.engine.error_site import ErrorSite


@dataclass(frozen=True, eq=False)
class LogicalNoise:
    """A variational circuit that is not lowered, with device noise after its gates.

    Attributes:
        noisy: The circuit with error sites; parameters are those of the variational circuit.
        observables: Its observables, with the readout errors of the qubits that they end on.
    """

    noisy: NoisyCircuit
    observables: tuple[SparsePauliOp, ...]


def find_logical_noise(
    variational: VariationalCircuit, target: Target, *, seed: int = 0
) -> LogicalNoise:
    """Return a circuit with the noise that it has on a QPU, but in its own gates.

    It is lowered once, with random numbers for all parameters, as the noise of physical gates
    hardly depends on their angles; `attribute_noise` then attributes that noise to the gates.
    Errors within the gates of an amplitude encoding are taken to happen at its end.

    Args:
        variational: The circuit.
        target: The QPU's target, with calibration data.
        seed: Seed of the random numbers.

    Raises:
        CircuitError: The QPU has fewer qubits than the circuit, or an amplitude encoding is not the
            first on its qubits.

    Example:
        >>> from qiskit_ibm_runtime.fake_provider import FakeManilaV2
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime.device_noise import find_logical_noise
        >>> circuit = build_ansatz("basic_entangling", qubits=2, layers=1)
        >>> noise = find_logical_noise(circuit, FakeManilaV2().target)
        >>> len(noise.observables)
        2
    """
    encodings, gates, rest = _divided(variational.circuit)
    circuit = gates.compose(PassManager([Unroll3qOrMore()]).run(rest))
    numbers = np.random.default_rng(seed).uniform(0.2, 0.8, circuit.num_parameters)
    lowered = lower(circuit.assign_parameters(numbers), target, observables=variational.observables)
    noise = DeviceNoise(target)
    confusion = {qubit: noise.confusion(place) for qubit, place in enumerate(lowered.final_layout)}
    noisy = with_logical_noise(circuit, numbers, lowered, noise)
    if encodings:
        joined = _joined(encodings, noisy.circuit, len(gates.data))
        noisy = NoisyCircuit(joined, noisy.num_sites, noisy.locations)
    read = (with_readout_error(observable, confusion) for observable in variational.observables)
    return LogicalNoise(noisy, tuple(read))


def _divided(
    circuit: QuantumCircuit,
) -> tuple[list[CircuitInstruction], QuantumCircuit, QuantumCircuit]:
    """Return symbolic amplitude encodings, which come first, their gates, and all other gates."""
    circuit = state_tree.unwrapped(circuit)
    if not state_tree.with_preparation_gates(circuit).encodings:
        return [], circuit.copy_empty_like(), circuit
    first, rest = circuit.copy_empty_like(), circuit.copy_empty_like()
    for item in circuit.data:
        (rest if state_tree.symbolic_encoding(item.operation) is None else first).append(item)
    return list(first.data), state_tree.with_preparation_gates(first).circuit, rest


def _joined(
    encodings: list[CircuitInstruction], circuit: QuantumCircuit, replaced: int
) -> QuantumCircuit:
    """Return a circuit with encodings for its first gates, whose error sites follow."""
    joined, gates = circuit.copy_empty_like(), 0
    for item in encodings:
        joined.append(item)
    for item in circuit.data:
        site = isinstance(item.operation, ErrorSite)
        gates += not site
        if site or gates > replaced:
            joined.append(item)
    return joined


def with_logical_noise(
    circuit: QuantumCircuit, numbers: np.ndarray, lowered: LoweredCircuit, noise: DeviceNoise
) -> NoisyCircuit:
    """Return a circuit, of gates of at most two qubits, with the noise of its lowered circuit.

    `lowered` was made of the circuit with the numbers (n_parameters,) for its parameters.
    """
    runs = [run for run in two_qubit_runs(circuit.assign_parameters(numbers)) if not run.is_local]
    with_sites, wires = _with_sites(circuit, runs)
    locations = attribute_noise(runs, wires, lowered, noise)
    return NoisyCircuit(with_sites, sum(map(len, wires)), tuple(locations))


def _with_sites(
    circuit: QuantumCircuit, runs: list[GateRun]
) -> tuple[QuantumCircuit, list[list[int]]]:
    """Return the circuit with a site on each qubit of every run, and the sites of each qubit.

    A qubit without runs has a site at its end.
    """
    ends = {run.members[-1]: run.qubits for run in runs}
    with_sites = circuit.copy_empty_like()
    wires: list[list[int]] = [[] for _ in range(circuit.num_qubits)]
    numbers = count()

    def add_site(qubit: int) -> None:
        with_sites.append(ErrorSite(), [qubit])
        wires[qubit].append(next(numbers))

    for number, instruction in enumerate(circuit.data):
        with_sites.append(instruction)
        for qubit in ends.get(number, ()):
            add_site(qubit)
    for qubit, sites in enumerate(wires):
        if not sites:
            add_site(qubit)
    return with_sites, wires
