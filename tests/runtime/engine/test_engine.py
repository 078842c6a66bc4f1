"""The engine against qiskit.quantum_info, in values, and against central differences."""

import numpy as np
import pytest
import torch
from engine_checks import check_gradients, engine_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import UnitaryGate, real_amplitudes, zz_feature_map
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary
from random_circuits import STANDARD_GATES, exact_values, random_variational

from qhybrid_circuits import ShapeError, VariationalCircuit
from qhybrid_circuits.ansatz import basic_entangling, fqconv, hqconv
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.fusion import light_cone
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import compile_program

pytestmark = pytest.mark.usefixtures("executor")

PAPER_CIRCUITS = [hqconv(), fqconv(), basic_entangling(), hqconv(variant="released")]


@given(seed=st.integers(0, 2**32 - 1), num_qubits=st.integers(1, 6), num_gates=st.integers(1, 30))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_circuits_have_qiskits_values(seed: int, num_qubits: int, num_gates: int) -> None:
    rng = np.random.default_rng(seed)
    variational = random_variational(rng, num_qubits, num_gates)
    inputs, weights = rng.normal(size=(3, 3)), rng.normal(size=4)
    actual = engine_values(variational, inputs, weights).numpy()
    np.testing.assert_allclose(actual, exact_values(variational, inputs, weights), atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), num_qubits=st.integers(1, 4), num_gates=st.integers(1, 15))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_circuits_have_exact_gradients(seed: int, num_qubits: int, num_gates: int) -> None:
    rng = np.random.default_rng(seed)
    check_gradients(random_variational(rng, num_qubits, num_gates), rng)


@pytest.mark.parametrize("name", sorted(n for n, g in STANDARD_GATES.items() if g.num_qubits))
def test_every_standard_gate(name: str, rng) -> None:
    template = STANDARD_GATES[name]
    weights = ParameterVector("w", max(len(template.params), 1))
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.u(*rng.normal(size=3), qubit)
    gate = template.base_class(*weights[: len(template.params)])
    circuit.append(gate, [int(q) for q in rng.permutation(3)[: gate.num_qubits]])
    circuit.ry(weights[0], 0)
    observables = [SparsePauliOp(["XYZ", "ZZI"], [1.0, 0.5]), SparsePauliOp("YXX")]
    variational = VariationalCircuit(name, circuit, (), tuple(weights), tuple(observables))
    values = rng.normal(size=len(weights))
    actual = engine_values(variational, np.empty((1, 0)), values).numpy()
    np.testing.assert_allclose(
        actual, exact_values(variational, np.empty((1, 0)), values), atol=1e-12
    )
    check_gradients(variational, rng)


@pytest.mark.parametrize("variational", PAPER_CIRCUITS, ids=repr)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_paper_circuits_have_qiskits_values(variational, dtype, tolerance, rng) -> None:
    inputs = rng.normal(size=(2, variational.num_inputs))
    weights = rng.random(variational.num_weights)
    program = compile_program(variational)
    actual = expectations(
        program,
        variational.observables,
        torch.as_tensor(inputs, dtype=dtype),
        torch.as_tensor(weights, dtype=dtype),
    )
    assert actual.dtype == dtype
    expected = exact_values(variational, inputs, weights)
    np.testing.assert_allclose(actual.numpy(), expected, atol=tolerance)


@pytest.mark.parametrize(
    "variational",
    [hqconv(channels=2, layers=2), fqconv(channels=2, layers=2), basic_entangling()],
    ids=repr,
)
def test_paper_circuits_have_exact_gradients(variational, rng) -> None:
    check_gradients(variational, rng)


@pytest.mark.parametrize("variational", PAPER_CIRCUITS[:3], ids=repr)
def test_twelve_qubit_gradients_by_central_differences_of_the_engine(variational, rng) -> None:
    # The engine's values are checked above; differences of them check its gradients at full size.
    program, observables = (
        compile_program(variational),
        ObservableSet(variational.observables, variational.num_qubits),
    )
    inputs = torch.as_tensor(rng.normal(size=(2, variational.num_inputs))).requires_grad_()
    weights = torch.as_tensor(rng.random(variational.num_weights)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, w: expectations(program, observables, x, w),
        (inputs, weights),
        eps=1e-5,
        atol=1e-6,
        fast_mode=True,
    )


@pytest.mark.parametrize("build", [hqconv, fqconv, basic_entangling])
def test_no_weight_of_the_papers_circuits_is_without_effect(build, generator) -> None:
    variational = build()
    program = compile_program(variational)
    weights = torch.rand(variational.num_weights, generator=generator).requires_grad_()
    inputs = torch.randn(8, variational.num_inputs, generator=generator).requires_grad_()
    values = expectations(program, variational.observables, inputs, weights)
    cotangent = torch.randn(values.shape, generator=generator)
    by_weight, by_input = torch.autograd.grad(values, [weights, inputs], cotangent)
    assert by_weight.abs().min() > 1e-4
    assert by_input.abs().amax(0).min() > 1e-4


def test_released_hqconv_has_72_weights_outside_any_gate(generator) -> None:
    variational = hqconv(variant="released")
    weights = torch.rand(84, generator=generator).requires_grad_()
    inputs = torch.randn(8, 12, generator=generator)
    values = expectations(compile_program(variational), variational.observables, inputs, weights)
    cotangent = torch.randn(values.shape, generator=generator)
    (gradient,) = torch.autograd.grad(values, weights, cotangent)
    assert (gradient[~_in_a_gate(variational)] == 0).all()
    assert int((~_in_a_gate(variational)).sum()) == 72


def _in_a_gate(variational: VariationalCircuit) -> torch.Tensor:
    return torch.tensor([variational.circuit.has_parameter(w) for w in variational.weights])


def test_leading_dimensions_broadcast(generator) -> None:
    variational = hqconv(channels=1, layers=2)
    program = compile_program(variational)
    inputs = torch.randn(2, 3, 5, 4, generator=generator)
    weights = torch.rand(3, 16, generator=generator)
    together = expectations(program, variational.observables, inputs, weights)
    assert together.shape == (2, 3, 5, 4)
    for i in range(2):
        for j in range(3):
            alone = expectations(program, variational.observables, inputs[i, j], weights[j])
            torch.testing.assert_close(together[i, j], alone)
    one = expectations(program, variational.observables, inputs, weights[0])
    alone = expectations(program, variational.observables, inputs[1, 2], weights[0])
    torch.testing.assert_close(one[1, 2], alone)
    torch.testing.assert_close(one[:, 0], together[:, 0])


def test_weight_sets_have_gradients_of_their_own(generator) -> None:
    variational = fqconv(channels=1, layers=2)
    program = compile_program(variational)
    inputs = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    weights = torch.rand(3, 16, generator=generator, dtype=torch.float64).requires_grad_()
    expectations(program, variational.observables, inputs, weights).sum().backward()
    for j in range(3):
        alone = weights[j].detach().requires_grad_()
        expectations(program, variational.observables, inputs, alone).sum().backward()
        torch.testing.assert_close(weights.grad[j], alone.grad)


def test_library_circuits_with_products_and_layers(rng) -> None:
    feature_map, ansatz = zz_feature_map(3), real_amplitudes(3, reps=2)
    circuit = feature_map.compose(ansatz)
    observables = [SparsePauliOp(["ZZZ", "XXI"], [0.3, 1.0])]
    variational = VariationalCircuit(
        "library", circuit, tuple(feature_map.parameters), tuple(ansatz.parameters), observables
    )
    inputs, weights = rng.normal(size=(4, 3)), rng.normal(size=9)
    actual = engine_values(variational, inputs, weights).numpy()
    np.testing.assert_allclose(actual, exact_values(variational, inputs, weights), atol=1e-12)
    check_gradients(variational, rng)


def test_large_and_custom_gates_are_taken_apart(rng) -> None:
    angle = Parameter("a")
    inner = QuantumCircuit(2, name="inner", global_phase=0.4)
    inner.rzx(2 * angle, 1, 0)
    inner.h(0)
    circuit = QuantumCircuit(5)
    circuit.h(range(5))
    circuit.append(inner.to_gate().control(1), [4, 0, 2])
    circuit.append(UnitaryGate(random_unitary(4, seed=1)), [3, 1])
    circuit.append(inner.to_instruction(), [2, 3])
    circuit.mcx([0, 1, 2, 3], 4)
    circuit.barrier()
    circuit.id(0)
    observables = (SparsePauliOp("XYZXZ"), SparsePauliOp("IIYII"))
    variational = VariationalCircuit("custom", circuit, (), (angle,), observables)
    actual = engine_values(variational, np.empty((1, 0)), np.array([0.7])).numpy()
    expected = exact_values(variational, np.empty((1, 0)), np.array([0.7]))
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_autocast_does_not_reach_the_amplitudes(rng) -> None:
    variational = basic_entangling()
    inputs = torch.as_tensor(rng.normal(size=(4, 4)), dtype=torch.float32)
    weights = torch.as_tensor(rng.random(16), dtype=torch.float32)
    program = compile_program(variational)
    plain = expectations(program, variational.observables, inputs, weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = expectations(program, variational.observables, inputs, weights)
    assert torch.equal(plain, mixed)


def test_training_after_inference_mode() -> None:
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.u(0.3, 0.5 + qubit, 0.7, qubit)
    circuit.rx(x * w, 0)
    circuit.rxx(w, 2, 0)
    circuit.ry(w, 1)
    circuit.cx(1, 2)
    program = compile_program(circuit, [x])
    observables = ObservableSet([SparsePauliOp(["XYZ", "ZIZ"])], 3)
    inputs, weights = torch.ones(2, 1), torch.ones(1, requires_grad=True)
    with torch.inference_mode():
        before = expectations(program, observables, inputs, weights)
    with torch.no_grad():
        between = expectations(program, observables, inputs, weights)
    after = expectations(program, observables, inputs, weights)
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(after, between)
    after.sum().backward()
    assert weights.grad is not None
    assert weights.grad.abs() > 0


@pytest.mark.parametrize("samples", [0, 1, 17])
def test_any_number_of_samples(samples: int, rng) -> None:
    # Inputs on two-qubit gates, and again after them: matrices of each sample's own.
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(3)
    circuit.rx(x[0], 0)
    circuit.crx(x[1], 0, 2)
    circuit.rzz(w[0] * x[0], 0, 2)
    circuit.ry(x[1], 1)
    circuit.cry(w[1], 2, 1)
    variational = VariationalCircuit(
        "again", circuit, x, w, [SparsePauliOp("XYZ"), SparsePauliOp("ZIY")]
    )
    inputs = torch.as_tensor(rng.normal(size=(samples, 2))).requires_grad_()
    weights = torch.as_tensor(rng.normal(size=2)).requires_grad_()
    values = expectations(compile_program(variational), variational.observables, inputs, weights)
    values.sum().backward()
    assert values.shape == (samples, 2)
    assert inputs.grad is not None
    assert weights.grad is not None
    assert inputs.grad.shape == (samples, 2)
    assert bool(weights.grad.any()) == bool(samples)
    if samples:
        expected = exact_values(variational, inputs.detach().numpy(), weights.detach().numpy())
        np.testing.assert_allclose(values.detach(), expected, atol=1e-12)


def test_observables_on_no_qubit_and_circuits_without_gates() -> None:
    program = compile_program(QuantumCircuit(2))
    observables = [SparsePauliOp("II", 0.5), SparsePauliOp("ZI"), SparsePauliOp("ZI")]
    inputs = torch.zeros(17, 0, requires_grad=True)
    values = expectations(program, observables, inputs, torch.zeros(3, 0))
    assert values.requires_grad
    assert torch.equal(values, torch.tensor([0.5, 1.0, 1.0]).expand(3, 17, 3))


@pytest.mark.parametrize(
    ("inputs", "weights", "message"),
    [
        (torch.zeros(3), torch.zeros(16), r"`inputs` must have shape \(\.\.\., B, n_inputs\)"),
        (torch.zeros(2, 5), torch.zeros(16), "n_inputs = 4, but has shape"),
        (torch.zeros(2, 4), torch.zeros(15), "n_weights = 16, but has shape"),
        (torch.zeros(2, 4).double(), torch.zeros(16), "must share dtype and device"),
        (torch.zeros(2, 4).half(), torch.zeros(16).half(), "must be float32 or float64"),
        (torch.zeros(3, 2, 4), torch.zeros(2, 16), "must broadcast"),
    ],
)
def test_shapes_that_do_not_fit_are_named(inputs, weights, message: str) -> None:
    variational = basic_entangling()
    with pytest.raises(ShapeError, match=message):
        expectations(compile_program(variational), variational.observables, inputs, weights)


def test_more_samples_than_fit_a_vector(generator) -> None:
    variational = hqconv(channels=1, layers=2)
    program = compile_program(variational)
    inputs = torch.randn(37, 4, generator=generator)
    weights = torch.rand(2, 16, generator=generator).requires_grad_()
    together = expectations(program, variational.observables, inputs, weights)
    alone = torch.stack(
        [expectations(program, variational.observables, x[None], weights)[:, 0] for x in inputs], 1
    )
    torch.testing.assert_close(together, alone)
    cotangent = torch.randn(together.shape, generator=generator)
    (mine,) = torch.autograd.grad(together, weights, cotangent)
    (other,) = torch.autograd.grad(alone, weights, cotangent)
    torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


def test_qubits_that_no_gate_joins(rng) -> None:
    angles = ParameterVector("a", 5)
    circuit = QuantumCircuit(5)
    for qubit, angle in enumerate(angles):
        circuit.ry(angle, qubit)
    circuit.cx(0, 3)
    observables = (SparsePauliOp("ZIIII"), SparsePauliOp("IXIIX"), SparsePauliOp("IIIII"))
    variational = VariationalCircuit(
        "apart", circuit, tuple(angles[:2]), tuple(angles[2:]), observables
    )
    inputs, weights = rng.normal(size=(3, 2)), rng.normal(size=3)
    actual = engine_values(variational, inputs, weights).numpy()
    np.testing.assert_allclose(actual, exact_values(variational, inputs, weights), atol=1e-12)
    check_gradients(variational, rng)


def test_gates_outside_the_light_cone_are_dropped(rng) -> None:
    angles = ParameterVector("a", 3)
    circuit = QuantumCircuit(3)
    circuit.ry(angles[0], 0)
    circuit.crx(angles[1], 2, 1)
    circuit.cx(1, 0)
    circuit.rx(angles[2], 2)
    observables = (SparsePauliOp("IIZ"),)
    variational = VariationalCircuit("cone", circuit, (), tuple(angles), observables)
    kept = light_cone(compile_program(circuit).operations, {0})
    assert [operation.qubits for operation in kept] == [(0,), (2, 1), (1, 0)]
    check_gradients(variational, rng)


def test_constants_that_differ_in_the_last_bit_are_one_gate() -> None:
    circuit = QuantumCircuit(2)
    circuit.append(UnitaryGate(np.diag([1, np.exp(0.3j)])), [0])
    circuit.append(UnitaryGate(np.diag([1, np.exp(0.3j) * (1 + 2e-16)])), [0])
    circuit.h(0)
    circuit.cx(0, 1)
    value = engine_values(
        VariationalCircuit("bits", circuit, (), (), (SparsePauliOp("IX"), SparsePauliOp("XX"))),
        np.empty((1, 0)),
        np.empty(0),
    )
    state = Statevector(circuit)
    exact = [state.expectation_value(SparsePauliOp(label)).real for label in ("IX", "XX")]
    np.testing.assert_allclose(value.numpy()[0], exact, atol=1e-12)
