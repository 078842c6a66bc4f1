from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import PassManager, Target
from qiskit.transpiler.passes import Unroll3qOrMore

from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.encoding.state_tree import (
    symbolic_encoding,
    unwrapped,
    with_preparation_gates,
)
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
    """A variational circuit as it stands, with a device's noise after its gates.

    Attributes:
        noisy: The circuit with error sites; parameters are those of the variational circuit.
        observables: The layer's, with the readout errors of the qubits where they end.
    """

    noisy: NoisyCircuit
    observables: tuple[SparsePauliOp, ...]


def find_logical_noise(
    variational: VariationalCircuit, target: Target, *, seed: int = 0
) -> LogicalNoise:
    """Return a circuit with the noise that it has on a device, but without lowering it.

    It is lowered once, with random numbers for all parameters: what noise the physical gates have
    hardly depends on their angles. `attribute_noise` says where that noise goes. Errors within the
    gates of an amplitude encoding are taken to happen at its end.

    Args:
        variational: The circuit.
        target: The device, with calibration data.
        seed: Of the random numbers.

    Raises:
        CircuitError: The device has fewer qubits than the circuit, or an amplitude encoding is not
            the first on its qubits.
    """
    encodings, gates, rest = _taken_apart(variational.circuit)
    circuit = gates.compose(PassManager([Unroll3qOrMore()]).run(rest))
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(0.2, 0.8, circuit.num_parameters)
    lowered = lower(circuit.assign_parameters(numbers), target, observables=variational.observables)
    noise = DeviceNoise(target)
    confusion = {qubit: noise.confusion(place) for qubit, place in enumerate(lowered.final_layout)}
    noisy = with_logical_noise(circuit, numbers, lowered, noise)
    if encodings:
        joined = _joined(encodings, noisy.circuit, len(gates.data))
        noisy = NoisyCircuit(joined, noisy.num_sites, noisy.locations)
    return LogicalNoise(
        noisy,
        tuple(with_readout_error(o, confusion) for o in variational.observables),
    )


def _taken_apart(
    circuit: QuantumCircuit,
) -> tuple[list[CircuitInstruction], QuantumCircuit, QuantumCircuit]:
    """Return symbolic amplitude encodings, which come first, their gates, and all other gates."""
    circuit = unwrapped(circuit)
    if not with_preparation_gates(circuit).encodings:
        return [], circuit.copy_empty_like(), circuit
    first, rest = circuit.copy_empty_like(), circuit.copy_empty_like()
    for item in circuit.data:
        (rest if symbolic_encoding(item.operation) is None else first).append(item)
    return list(first.data), with_preparation_gates(first).circuit, rest


def _joined(
    encodings: list[CircuitInstruction], circuit: QuantumCircuit, count: int
) -> QuantumCircuit:
    """Return a circuit with encodings for its first `count` gates, whose error sites follow."""
    joined = circuit.copy_empty_like()
    for item in encodings:
        joined.append(item)
    gates = 0
    for item in circuit.data:
        site = isinstance(item.operation, ErrorSite)
        gates += not site
        if site or gates > count:
            joined.append(item)
    return joined


def with_logical_noise(
    circuit: QuantumCircuit,
    numbers: np.ndarray,
    lowered: LoweredCircuit,
    noise: DeviceNoise,
) -> NoisyCircuit:
    """Return a circuit with the noise of what it became when it was lowered.

    Args:
        circuit: Gates of at most two qubits.
        numbers: Values of its parameters, shape (n_parameters,).
        lowered: The circuit with these values, lowered.
        noise: Of the device that it was lowered for.
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
    count = 0
    for number, instruction in enumerate(circuit.data):
        with_sites.append(instruction)
        for qubit in ends.get(number, ()):
            with_sites.append(ErrorSite(), [qubit])
            wires[qubit].append(count)
            count += 1
    for qubit, sites in enumerate(wires):
        if not sites:
            with_sites.append(ErrorSite(), [qubit])
            sites.append(count)
            count += 1
    return with_sites, wires
