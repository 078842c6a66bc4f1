import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from qhybrid_circuits import CircuitError, RequestError, build_ansatz
from qhybrid_runtime import get_backend, quantum_layer
from qhybrid_runtime.backends.noisy_aer import NoisyAerBackend


def test_a_layer_has_values_near_the_exact_ones_but_shrunk(rng: np.random.Generator) -> None:
    variational = build_ansatz("hqconv", channels=1, layers=2)
    weights = rng.random(variational.num_weights)
    inputs = torch.as_tensor(rng.normal(size=(16, 4))).float()
    with torch.no_grad():
        exact = quantum_layer(variational, get_backend("statevector"), None, weights)(inputs)
        backend = get_backend("aer:fake_fez", seed=1, shots=4096)
        noisy = quantum_layer(variational, backend, None, weights)(inputs)
    assert backend.name == "aer:fake_fez"
    assert noisy.shape == exact.shape
    assert (noisy - exact).abs().max() > 0.02
    slope = (noisy * exact).sum() / exact.square().sum()
    assert 0.7 < slope < 0.98


def test_uniform_noise_is_aers_depolarizing_noise() -> None:
    """In counts too: readout errors are in what the backend returns."""
    noise = "depolarizing=0.05,readout=0.03"
    circuit = QuantumCircuit(3)
    circuit.sx([0, 1, 2])
    circuit.cz(0, 1)
    circuit.cz(1, 2)
    circuit.rz(0.4, 1)
    circuit.sx([0, 1, 2])
    circuit.cz(0, 2)
    circuit.sx([0, 1])
    observables = [SparsePauliOp(label) for label in ("ZII", "IZI", "IIZ", "ZZI", "ZZZ")]
    backend = NoisyAerBackend(noise, seed=1, shots=100_000)
    pub = (circuit, observables)
    found = backend.estimator().run([pub]).result()[0].data
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cz"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.005, 1), ["sx", "x"])
    model.add_all_qubit_readout_error(ReadoutError([[0.97, 0.03], [0.03, 0.97]]))
    simulator = AerSimulator(method="density_matrix", noise_model=model, seed_simulator=1)
    measured = circuit.copy()
    measured.measure_all()
    shots = 200_000
    counts = simulator.run(measured, shots=shots).result().get_counts()
    for row, observable in enumerate(observables):
        (label,) = observable.paulis.to_labels()
        read = [place for place, pauli in enumerate(label) if pauli == "Z"]
        odd = sum(n for bits, n in counts.items() if sum(bits[p] == "1" for p in read) % 2)
        expected = 1 - 2 * odd / shots
        assert abs(found.evs[row] - expected) < 5 * np.hypot(found.stds[row], shots**-0.5)


def test_shots_set_the_precision() -> None:
    assert NoisyAerBackend("fake_fez").precision == pytest.approx(1 / 32)
    assert NoisyAerBackend("fake_fez", shots=100).precision == pytest.approx(0.1)


@pytest.mark.parametrize(
    "options", [{"shots": 0}, {"shots": 10.5}, {"shots": True}, {"seed": -1}, {"seed": 0.5}]
)
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=next(iter(options))):
        get_backend("aer:fake_fez", **options)


def test_circuits_that_do_not_fit_are_refused() -> None:
    backend = NoisyAerBackend("depolarizing=0.01")
    with pytest.raises(CircuitError, match="25 qubits"):
        backend.estimator().run([(QuantumCircuit(25), SparsePauliOp("Z" * 25))]).result()
