"""Every way to run a circuit agrees on what it is; see tests/circuits/test_plain.py."""

import numpy as np
import pytest
import torch
from plain_cases import REFUSED, SAME, W, X, gates
from qiskit.compiler import transpile
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_machine_learning.circuit import library

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_runtime import AdjointEstimatorGradient, get_backend, quantum_layer
from qhybrid_runtime.engine import compile_program
from qhybrid_runtime.hardware.targets import fake_target

OBSERVABLES = [SparsePauliOp(word) for word in ("ZI", "IZ", "XY", "YX")]
POINT = {"x": 0.7, "w": -1.3}
BACKENDS = ["statevector", "aer"]

pytestmark = pytest.mark.filterwarnings("ignore:Measurements at the end")


def exact(circuit, **moved: float) -> np.ndarray:
    state = Statevector(circuit.assign_parameters(POINT | moved))
    return np.array([state.expectation_value(each).real for each in OBSERVABLES])


def slopes(circuit, name: str, step: float = 1e-5) -> np.ndarray:
    moved = [exact(circuit, **{name: POINT[name] + sign * step}) for sign in (1, -1)]
    return (moved[0] - moved[1]) / (2 * step)


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_and_gradients_agree(backend: str, case: str) -> None:
    build, reference = SAME[case]
    expected = exact(reference())
    by_x, by_w = (slopes(reference(), name) for name in POINT)
    variational = VariationalCircuit(case, build(), (X,), (W,), tuple(OBSERVABLES))
    layer = quantum_layer(variational, get_backend(backend), initial_weights=[POINT["w"]]).double()
    inputs = torch.tensor([[POINT["x"]]], dtype=torch.float64, requires_grad=True)
    values = layer(inputs)
    np.testing.assert_allclose(values[0].detach(), expected, atol=1e-6)
    values.sum().backward()
    np.testing.assert_allclose(inputs.grad, [[by_x.sum()]], atol=1e-5)
    np.testing.assert_allclose(layer.weight.grad, [by_w.sum()], atol=1e-5)
    job = get_backend(backend).estimator().run([(build(), OBSERVABLES, POINT)])
    np.testing.assert_allclose(job.result()[0].data.evs, expected, atol=1e-9)
    circuit = build()
    order = [POINT[parameter.name] for parameter in circuit.parameters]
    run = AdjointEstimatorGradient().run([circuit] * 4, OBSERVABLES, [order] * 4)
    found = np.array(run.result().gradients)
    columns = [by_x if parameter == X else by_w for parameter in circuit.parameters]
    np.testing.assert_allclose(found, np.transpose(columns), atol=1e-8)


@pytest.mark.parametrize("case", ["initialize", "loops", "measure"])
@pytest.mark.parametrize("backend", ["fake_manila", "aer:fake_manila", "noise-aware:fake_manila"])
def test_noisy_backends_take_the_same_circuits(backend: str, case: str) -> None:
    build, reference = SAME[case]
    results = []
    for circuit in (build(), reference()):
        estimator = get_backend(
            backend, **({} if backend == "fake_manila" else {"seed": 1})
        ).estimator()
        job = estimator.run([(circuit, OBSERVABLES, POINT)], precision=0.02)
        results.append(job.result()[0].data.evs)
    # The same gates with the same seed: the same errors.
    np.testing.assert_allclose(*results, atol=0.15 if backend == "fake_manila" else 1e-9)


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("backend", [*BACKENDS, "fake_manila"])
def test_all_refuse_the_same_circuits(backend: str, case: str) -> None:
    build, named = REFUSED[case]
    with pytest.raises(CircuitError, match=f"'{named}'"):
        get_backend(backend).estimator().run([(build(), OBSERVABLES, POINT)]).result()
    with pytest.raises(CircuitError, match=f"'{named}'"):
        compile_program(build())


@pytest.mark.parametrize("backend", [*BACKENDS, "noise-aware:fake_manila"])
def test_a_circuit_as_wide_as_a_device_is_its_qubits_in_use(backend: str) -> None:
    wide = transpile(gates(), target=fake_target("fake_fez"), seed_transpiler=2)
    assert wide.num_qubits == 156
    variational = VariationalCircuit("wide", wide, (X,), (W,), tuple(OBSERVABLES))
    layer = quantum_layer(variational, get_backend(backend), initial_weights=[POINT["w"]])
    placed = [each.apply_layout(wide.layout) for each in OBSERVABLES]
    values = get_backend(backend).estimator().run([(wide, placed, POINT)]).result()[0].data.evs
    if backend in BACKENDS:
        found = layer(torch.tensor([POINT["x"]])).detach()
        np.testing.assert_allclose(found, exact(gates()), atol=1e-5)
        np.testing.assert_allclose(values, exact(gates()), atol=1e-7)
    else:
        assert values.shape == (4,)


@pytest.mark.parametrize("backend", BACKENDS)
def test_feature_vectors_of_qiskit_machine_learning(backend: str, rng) -> None:
    vector = library.raw_feature_vector(4)
    x, circuit = vector.parameters, gates(vector.copy())
    variational = VariationalCircuit("vector", circuit, (*x, X), (W,), tuple(OBSERVABLES))
    layer = quantum_layer(variational, get_backend(backend), initial_weights=[0.4]).double()
    row, along, step = rng.random(5), rng.normal(size=5), 1e-5

    def values(row: np.ndarray) -> np.ndarray:
        bound = gates(vector.assign_parameters(dict(zip(x, row[:4], strict=True))))
        state = Statevector(bound.assign_parameters({X: row[4], W: layer.weight.item()}))
        return np.array([state.expectation_value(each).real for each in OBSERVABLES])

    inputs = torch.tensor(row, requires_grad=True)
    found = layer(inputs)
    np.testing.assert_allclose(found.detach(), values(row), atol=1e-7)
    found.sum().backward()
    slope = (values(row + step * along) - values(row - step * along)).sum() / (2 * step)
    assert float(inputs.grad @ torch.as_tensor(along)) == pytest.approx(slope, abs=1e-6)
