"""Circuits that people have: what becomes of them, and what is refused by name."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from plain_cases import REFUSED, SAME, W, X, gates
from qiskit import qpy
from qiskit.circuit import QuantumCircuit
from qiskit.compiler import transpile
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import CouplingMap

from qhybrid_circuits import (
    CircuitError,
    VariationalCircuit,
    lower,
    pass_manager,
    resource_report,
)
from qhybrid_circuits.plain import plain_circuit

DEVICE = GenericBackendV2(
    5, ["cz", "rz", "sx", "x", "id"], coupling_map=CouplingMap.from_line(5), seed=3
)
WORDS = ("ZI", "IZ", "XY", "YX")
OBSERVABLES = tuple(map(SparsePauliOp, WORDS))
NUMBERS = {X: 0.7, W: -1.3}


def values(circuit: QuantumCircuit, observables: tuple[SparsePauliOp, ...]) -> np.ndarray:
    state = Statevector(circuit.assign_parameters(NUMBERS))
    return np.array([state.expectation_value(each).real for each in observables])


@pytest.mark.parametrize("case", SAME)
@pytest.mark.filterwarnings("ignore:Measurements at the end")
def test_lowering_and_reports_agree_on_what_a_circuit_is(case: str) -> None:
    build, reference = SAME[case]
    expected = values(reference(), OBSERVABLES)
    variational = VariationalCircuit(case, build(), (X,), (W,), OBSERVABLES)
    np.testing.assert_allclose(
        values(variational.circuit, variational.observables), expected, atol=1e-12
    )
    for circuit in (build(), variational):
        lowered = lower(circuit, DEVICE.target, observables=OBSERVABLES, cache=False)
        placed = tuple(map(lowered.apply_layout, OBSERVABLES))
        np.testing.assert_allclose(values(lowered.circuit, placed), expected, atol=1e-7)
        report = resource_report(circuit, DEVICE.target, observables=OBSERVABLES, cache=False)
        assert report.layout == lowered.final_layout
    passed = pass_manager(DEVICE.target).run(build())
    placed = tuple(each.apply_layout(passed.layout) for each in OBSERVABLES)
    np.testing.assert_allclose(values(plain_circuit(passed), placed), expected, atol=1e-7)


def test_a_circuit_of_gates_stays_the_same_object() -> None:
    circuit = gates()
    circuit.barrier()
    circuit.append(gates().to_instruction(), [0, 1])
    assert plain_circuit(circuit) is circuit
    assert VariationalCircuit("c", circuit, (X,), (W,), OBSERVABLES).circuit is circuit


def test_measurements_that_are_left_out_are_said_once() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for _ in range(3):
            VariationalCircuit("c", SAME["measure_all"][0](), (X,), (W,), OBSERVABLES)
    assert [str(each.message)[:25] for each in said] == ["Measurements at the end o"]
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VariationalCircuit("c", SAME["classical bits"][0](), (X,), (W,), OBSERVABLES)


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize(
    "use",
    [
        lambda circuit: VariationalCircuit("c", circuit, (X,), (W,), OBSERVABLES),
        lambda circuit: lower(circuit, DEVICE.target, cache=False),
        lambda circuit: resource_report(circuit, None),
        lambda circuit: pass_manager(DEVICE.target).run(circuit),
    ],
    ids=["variational", "lower", "report", "passes"],
)
def test_what_is_no_gate_is_refused_by_name(use: Callable[[QuantumCircuit], object], case) -> None:
    build, named = REFUSED[case]
    with pytest.raises(CircuitError, match=rf"instruction '{named}' on qubits \["):
        use(build())


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.filterwarnings("ignore:Measurements at the end")
def test_observables_follow_the_layout_of_a_transpiled_circuit(measured: bool) -> None:
    circuit = gates()
    if measured:
        circuit.measure_all()
    wide = transpile(circuit, DEVICE, initial_layout=[3, 1], seed_transpiler=1)
    assert wide.layout.final_index_layout() != [0, 1]
    expected = values(gates(), OBSERVABLES)
    laid_out = tuple(each.apply_layout(wide.layout) for each in OBSERVABLES)
    for observables in (OBSERVABLES, laid_out):
        variational = VariationalCircuit("c", wide, (X,), (W,), observables)
        assert variational.num_qubits < 5  # idle qubits of the device are left out
        found = values(variational.circuit, variational.observables)
        np.testing.assert_allclose(found, expected, atol=1e-7)
        lowered = lower(wide, DEVICE.target, observables=observables, cache=False)
        placed = tuple(map(lowered.apply_layout, laid_out))
        np.testing.assert_allclose(values(lowered.circuit, placed), expected, atol=1e-7)
    report = resource_report(wide, DEVICE.target, cache=False)
    same = resource_report(wide, DEVICE.target, observables=laid_out[:2], cache=False)
    assert report.success_probability == same.success_probability


@pytest.mark.parametrize("use", [lower, resource_report])
def test_observables_of_another_width_are_told_of_layouts(use) -> None:
    with pytest.raises(CircuitError, match=r"must act on .* 2 qubits, .*apply_layout"):
        use(gates(), DEVICE.target, observables=[SparsePauliOp("ZZZ")])


def test_a_circuit_that_is_not_consistent_is_refused() -> None:
    """Qiskit reads such from a QPY file of which a byte has changed."""
    circuit, stream = QuantumCircuit(2), io.BytesIO()
    circuit.cx(0, 1)
    qpy.dump(circuit, stream)
    first, second = b"q\0\0\0\0", b"q\0\0\0\1"
    content = stream.getvalue()
    assert content.count(first + second) == 1
    (damaged,) = qpy.load(io.BytesIO(content.replace(first + second, first + first)))
    with pytest.raises(CircuitError, match=r"must be consistent, but is not \('cx' acts .* twice"):
        plain_circuit(damaged)
