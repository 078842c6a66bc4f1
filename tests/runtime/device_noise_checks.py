"""What the tests of noise compare with: Aer's density matrices, and Paulis put in one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Delay
from qiskit.providers import BackendV2, Options
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import PassManager, Target
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDelay, TimeUnitConversion
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, pauli_error

from qhybrid_runtime.device_noise.noisy_circuit import NoisyCircuit
from qhybrid_runtime.engine.error_site import ErrorSite


def site_qubits(circuit: QuantumCircuit) -> list[int]:
    """The qubit of each error site, in the order of the instructions."""
    return [
        circuit.find_bit(item.qubits[0]).index
        for item in circuit.data
        if isinstance(item.operation, ErrorSite)
    ]


def with_paulis(circuit: QuantumCircuit, codes: Sequence[int]) -> QuantumCircuit:
    """The circuit of one trajectory: every error site replaced by its Pauli."""
    remaining = iter(codes)
    faulty = circuit.copy_empty_like()
    for item in circuit.data:
        if isinstance(item.operation, ErrorSite):
            apply = (faulty.id, faulty.x, faulty.y, faulty.z)[next(remaining)]
            apply(item.qubits[0])
        else:
            faulty.append(item)
    return faulty


def trajectory_values(
    circuit: QuantumCircuit, codes: Sequence[int], observables: Sequence[SparsePauliOp]
) -> np.ndarray:
    """Exact expectation values (n_obs,) of one trajectory of a bound circuit."""
    state = Statevector(with_paulis(circuit, codes))
    return np.array([state.expectation_value(o).real for o in observables])


def twirled_values(noisy: NoisyCircuit, observables: Sequence[SparsePauliOp]) -> np.ndarray:
    """Expectation values (n_obs,) of a bound circuit under its Pauli channels, by Aer."""
    qubits = site_qubits(noisy.circuit)
    mixed = noisy.circuit.copy_empty_like()
    site = -1
    for item in noisy.circuit.data:
        if not isinstance(item.operation, ErrorSite):
            # As a matrix: Aer's density matrices know fewer gates than Qiskit.
            mixed.unitary(item.operation.to_matrix(), item.qubits)
            continue
        site += 1
        for location in (loc for loc in noisy.locations if loc.sites[-1] == site):
            width = location.channel.num_qubits
            # Pauli labels are written from the last qubit to the first.
            labels = [
                "".join("IXYZ"[number >> 2 * q & 3] for q in reversed(range(width)))
                for number in range(4**width)
            ]
            error = pauli_error(list(zip(labels, location.channel.probabilities, strict=True)))
            mixed.append(error.to_instruction(), [qubits[s] for s in location.sites])
    return _aer_values(mixed, observables, AerSimulator(method="density_matrix"))


def device_values(
    circuit: QuantumCircuit, target: Target, observables: Sequence[SparsePauliOp], *, idling: bool
) -> np.ndarray:
    """Expectation values (n_obs,) under Aer's own model of a device, readout errors included.

    Args:
        circuit: Bound, in the target's gates and as wide as the target.
        target: With calibration data.
        observables: Diagonal ones.
        idling: Whether to schedule the circuit, so that Aer's delay noise acts.
    """
    model = NoiseModel.from_backend(TargetBackend(target))
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    if idling:
        circuit = without_first_delays(scheduled(circuit, target))
    circuit = circuit.copy()
    circuit.save_probabilities()
    result = simulator.run(circuit, shots=1).result()
    assert result.success, result.status
    table = result.data(0)["probabilities"].reshape([2] * circuit.num_qubits)
    read = {qubits[0]: error for qubits, error in model._local_readout_errors.items()}
    for qubit, error in read.items():
        axis = circuit.num_qubits - 1 - qubit
        table = np.moveaxis(np.tensordot(table, error.probabilities, axes=(axis, 0)), -1, axis)
    flat = table.reshape(-1)
    return np.array([np.real(np.diagonal(o.to_matrix()) @ flat) for o in observables])


def _aer_values(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], simulator: AerSimulator
) -> np.ndarray:
    circuit = circuit.copy()
    for row, observable in enumerate(observables):
        circuit.save_expectation_value(observable, range(circuit.num_qubits), label=str(row))
    result = simulator.run(circuit, shots=1).result()
    assert result.success, result.status
    return np.array([result.data(0)[str(row)] for row in range(len(observables))])


def scheduled(circuit: QuantumCircuit, target: Target) -> QuantumCircuit:
    passes = [TimeUnitConversion(target=target), ALAPScheduleAnalysis(target=target)]
    return PassManager([*passes, PadDelay(target=target)]).run(circuit)


def without_first_delays(circuit: QuantumCircuit) -> QuantumCircuit:
    """Leave out what a qubit waits in |0>: relaxation at zero temperature does not change it."""
    kept, touched = circuit.copy_empty_like(), set()
    for item in circuit.data:
        if not isinstance(item.operation, Delay) or item.qubits[0] in touched:
            kept.append(item)
            touched.update(item.qubits)
    return kept


class TargetBackend(BackendV2):  # type: ignore[misc]
    """A target with the interface of a backend, for Aer to read."""

    def __init__(self, target: Target) -> None:
        super().__init__(name="target")
        self._target = target

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> None:
        raise NotImplementedError
