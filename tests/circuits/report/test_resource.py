import json
import math
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CZGate, RZGate, SXGate, XGate
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import InstructionProperties, Target

from qhybrid_circuits import CircuitError, VariationalCircuit, build_ansatz
from qhybrid_circuits.report import resource
from qhybrid_circuits.report.figures import device_figures
from qhybrid_circuits.report.resource import ResourceReport, resource_report

ERRORS = {"rz": 0.0, "sx": 0.001, "x": 0.001, "cz": 0.01, "measure": 0.02}
SECONDS = {"rz": 0.0, "sx": 30e-9, "x": 30e-9, "cz": 100e-9, "measure": 1e-6}


def device(num_qubits: int, *, calibrated: bool = True, timed: bool = True) -> Target:
    """A line of qubits without relaxation, the same errors everywhere."""
    target = Target(num_qubits=num_qubits)
    pairs = [(q, q + 1) for q in range(num_qubits - 1)]
    gates = {"rz": RZGate(Parameter("t")), "sx": SXGate(), "x": XGate(), "measure": Measure()}
    for name, gate in [*gates.items(), ("cz", CZGate())]:
        places = [*pairs, *((b, a) for a, b in pairs)] if name == "cz" else None
        target.add_instruction(
            gate,
            {
                place: InstructionProperties(
                    error=ERRORS[name] if calibrated else None,
                    duration=SECONDS[name] if timed else None,
                )
                for place in places or [(q,) for q in range(num_qubits)]
            },
        )
    return target


def ghz(num_qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits, name="ghz")
    circuit.h(0)
    for qubit in range(num_qubits - 1):
        circuit.cx(qubit, qubit + 1)
    return circuit


def expected_success(report: ResourceReport, measured: int) -> float:
    counts = {**report.gate_counts, "measure": measured}
    return math.prod((1 - ERRORS[name]) ** count for name, count in counts.items())


def test_any_circuit_of_qiskit_has_a_report() -> None:
    report = resource_report(ghz(3), device(5), name="line", cache=False)
    assert (report.circuit, report.target, report.fractional) == ("ghz", "line", False)
    assert (report.logical_qubits, report.physical_qubits, report.device_qubits) == (3, 3, 5)
    assert (report.two_qubit_gates, report.two_qubit_depth) == (2, 2)
    assert report.gate_counts["cz"] == 2
    assert report.success_probability == pytest.approx(expected_success(report, 3), rel=1e-12)
    assert set(report.layout or ()) == set(report.used_qubits or ())
    assert report.stock_bound is None


def test_only_what_is_measured_is_read_out() -> None:
    first = [SparsePauliOp("IIZ")]
    report = resource_report(ghz(3), device(5), observables=first, cache=False)
    assert report.success_probability == pytest.approx(expected_success(report, 1), rel=1e-12)


def test_duration_is_that_of_the_longest_path_with_its_readout() -> None:
    circuit = QuantumCircuit(3)
    circuit.x(0)
    circuit.cz(0, 1)
    circuit.cz(1, 2)
    circuit.sx(0)
    figures = device_figures(circuit, device(3), measured=(0, 2), swaps=None)
    # x 0.03, cz 0.1, cz 0.1, readout of qubit 2 1.0.
    assert figures.duration_us == pytest.approx(1.23)
    assert (figures.depth, figures.two_qubit_depth, figures.physical_qubits) == (3, 2, 3)
    alone = device_figures(circuit, device(3), measured=(0,), swaps=None)
    assert alone.duration_us == pytest.approx(1.16)


def test_without_calibration_figures_are_none_and_never_zero() -> None:
    report = resource_report(ghz(2), device(2, calibrated=False, timed=False), cache=False)
    for figures in (report, report.stock):
        assert figures is not None
        assert figures.success_probability is None
        assert figures.duration_us is None
        assert figures.two_qubit_gates == 1


def test_without_a_device_the_circuit_is_counted_as_it_is_written() -> None:
    circuit = ghz(4)
    circuit.barrier()
    circuit.measure_all()
    report = resource_report(circuit, None)
    assert (report.two_qubit_gates, report.two_qubit_depth, report.depth) == (3, 3, 4)
    assert dict(report.gate_counts) == {"h": 1, "cx": 3}
    assert (report.target, report.physical_qubits, report.stock) == (None, None, None)
    assert report.success_probability is None


def test_a_device_with_too_few_qubits_is_refused_with_both_numbers() -> None:
    with pytest.raises(CircuitError, match=r"4 qubits.* 3"):
        resource_report(ghz(4), device(3), cache=False)


def test_stock_is_what_the_pass_manager_makes_of_symbolic_weights() -> None:
    """CRZ and CRX of one pair: two blocks while symbolic, one when they are numbers."""
    variational = build_ansatz("hqconv", channels=1, layers=1, topology="line")
    weights = np.random.default_rng(3).random(variational.num_weights)
    target = device(6)
    report = resource_report(variational, target, weights=weights, cache=False)
    manager = [generate_preset_pass_manager(3, target=target, seed_transpiler=s) for s in range(5)]
    best = min(each.run(variational.circuit).num_nonlocal_gates() for each in manager)
    assert report.stock is not None
    assert report.stock_bound is not None
    assert report.stock.two_qubit_gates == best == 16
    assert report.two_qubit_gates <= report.stock_bound.two_qubit_gates <= 8


def test_swaps_of_stock_are_counted() -> None:
    triangle = QuantumCircuit(3)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        triangle.rzz(0.3, a, b)
    on_line = resource_report(triangle, device(5), cache=False).stock
    assert on_line is not None
    assert on_line.swaps == 1
    native = resource_report(ghz(3), device(5), cache=False).stock
    assert native is not None
    assert native.swaps == 0


def test_a_report_survives_json() -> None:
    variational = build_ansatz("basic_entangling", qubits=3, layers=1)
    weights = np.zeros(variational.num_weights)
    for report in (
        resource_report(variational, device(4), weights=weights, cache=False),
        resource_report(variational, None),
    ):
        assert ResourceReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_stock_figures_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = device(4)
    first = resource_report(ghz(3), target, cache=tmp_path)

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(resource, "stock_figures", never)
    assert resource_report(ghz(3), target, cache=tmp_path) == first
    with pytest.raises(AssertionError, match="again"):
        resource_report(ghz(4), target, cache=tmp_path)


def test_fractional_gates_halve_the_count_and_leave_stock_alone() -> None:
    theta = Parameter("w")
    circuit = QuantumCircuit(2)
    circuit.crx(theta, 0, 1)
    variational = VariationalCircuit("one", circuit, (), (theta,), (SparsePauliOp("ZI"),))
    plain, fractional = (
        resource_report(variational, device(3), weights=[0.4], fractional=choice, cache=False)
        for choice in (False, True)
    )
    assert (plain.two_qubit_gates, fractional.two_qubit_gates) == (2, 1)
    assert "rzz" in fractional.gate_counts
    assert fractional.stock == plain.stock
