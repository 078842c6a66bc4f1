import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Gate, Parameter, QuantumCircuit
from qiskit.circuit.library import RXGate, SdgGate
from qiskit.quantum_info import DensityMatrix, Kraus, SparsePauliOp
from qiskit_aer.primitives import EstimatorV2

from qhybrid.cli import main
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import save_model
from qhybrid.models.zoo import build_model
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import save_config
from qhybrid.verification.case import READOUT_ERROR, Case, find_case, find_cases
from qhybrid.verification.gates import plain_gates
from qhybrid.verification.other_tools import _apply
from qhybrid.verification.tool import Tool
from qhybrid.verification.verify import find_tools, verify
from qhybrid_circuits import VariationalCircuit

_ASKED = ["verify", "crz", "--package", "qiskit-aer", "--package", "qhybrid"]


def test_references_are_those_of_a_known_function() -> None:
    case = find_case("ry")  # H, RY(x), RY(w): <X> = cos(x + w), <Y> = 0, <Z> = -sin(x + w)
    angle = case.point.sum()
    np.testing.assert_allclose(
        case.reference("values"), [np.cos(angle), 0, -np.sin(angle)], atol=1e-12
    )
    slopes = np.array([-np.sin(angle), 0, -np.cos(angle)])
    np.testing.assert_allclose(
        case.reference("gradients"), np.stack([slopes, slopes], axis=1), atol=1e-10
    )


def test_readout_errors_are_those_of_a_channel_before_the_measurement() -> None:
    case = find_case("qattention")  # observables of Z alone
    flip = Kraus([np.sqrt(1 - READOUT_ERROR) * np.eye(2), np.sqrt(READOUT_ERROR) * np.eye(2)[::-1]])
    state = DensityMatrix(case.bound)
    for qubit in range(case.variational.num_qubits):
        state = state.evolve(flip, [qubit])
    wanted = [state.expectation_value(o).real for o in case.variational.observables]
    np.testing.assert_allclose(case.reference("readout"), wanted, atol=1e-12)


def test_verdicts() -> None:
    def right(case):
        return case.reference("values")

    def off(case):
        return case.reference("values") - 0.25 * (np.arange(case.variational.num_outputs) == 1)

    def refuses(case):
        raise ValueError("no such\ngate")

    tools = [
        Tool("a", "numpy", "values", right, "known", ("https://issue",)),
        Tool("b", "numpy", "values", off, "known", ("https://issue",)),
        Tool("c", "numpy", "values", refuses, "known", ("https://issue",)),
        Tool("d", "no-such-package", "values", right),
        Tool("e", "numpy", "values", lambda case: case.reference("gradients")),
        Tool("f", "numpy", "values", lambda case: np.nan * case.reference("values")),
    ]
    found = verify(["rx"], tools)
    verdicts = ["right", "wrong", "refused", "absent", "wrong", "wrong"]
    assert [each.verdict for each in found] == verdicts
    assert found[1].error == pytest.approx(0.25)
    assert [bool(each.issues) for each in found] == [False, True, False, False, False, False]
    assert found[2].message == "ValueError: no such gate"
    assert found[3].version is None


def test_the_command_tells_what_aer_makes_of_a_controlled_rotation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*_ASKED, "--format", "json"]) == 0
    found = {(each["tool"], each["case"]): each for each in json.loads(capsys.readouterr().out)}
    assert all({"tool", "version", "case", "verdict", "error"} <= set(f) for f in found.values())
    case = find_case("crz")
    pub = (case.variational.circuit, list(case.variational.observables), case.in_circuit_order)
    evs = EstimatorV2().run([pub], precision=0.0).result()[0].data.evs
    error = np.abs(evs - case.reference("values")).max()
    symbolic = found["qiskit-aer EstimatorV2, symbolic", "crz values"]
    assert symbolic["error"] == pytest.approx(error, abs=1e-12)
    assert symbolic["verdict"] == ("right" if error <= 1e-6 else "wrong")
    assert found["qiskit-aer EstimatorV2, bound", "crz values"]["verdict"] == "right"
    assert main(_ASKED) == 0
    shown = capsys.readouterr().out
    assert f"WRONG by {error:.2f}" in shown or error <= 1e-6
    assert shown.splitlines()[-1].split()[0] == str(
        sum(each["verdict"] == "right" for each in found.values())
    )
    ours = [each["verdict"] for (tool, _), each in found.items() if tool.startswith("qhybrid ")]
    assert ours == ["right"] * 4


@pytest.mark.parametrize("tool", find_tools(), ids=lambda tool: f"{tool.package} {tool.name}")
def test_every_tool_answers_or_refuses(tool: Tool) -> None:
    if tool.version is None:
        pytest.skip(f"{tool.package} is not installed")
    (found,) = verify(["rz"], [tool])
    known = found.verdict in ("wrong", "refused") and found.issues
    assert found.verdict == "right" or known, found.message


def test_tools_that_shift_are_asked_of_circuits_of_few_parameters() -> None:
    slow = Tool("a", "numpy", "gradients", lambda case: case.reference("gradients"), shifts=True)
    found = verify(["rx", "reupload"], [slow])
    assert [each.verdict for each in found] == ["right", "right"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qhybrid.verification.verify._MOST_SHIFTED", 3)
        few, many = verify(["rx", "reupload"], [slow])
    assert (few.verdict, many.verdict) == ("right", "absent")
    assert "not asked" in many.message


def test_a_name_that_is_neither_ansatz_nor_gate_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", "crq"]) == 2
    assert "did you mean crz or cry or crx" in capsys.readouterr().err
    assert main(["verify", "--package", "aer"]) == 2
    assert "qiskit-aer" in capsys.readouterr().err


def test_the_circuits_of_a_run_have_its_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run")
    save_config(Config(), run.config_file)
    spec = ModelSpec("1fqconv-qvunet", image_size=8, dim=4, ansatz_layers=1)
    model = build_model(spec)
    save_model(model, spec, run.folder)
    (case,) = find_cases(str(run.folder))
    trained = model.state_dict()["vertex.first.first.bank.layers.0.weight"].numpy()
    np.testing.assert_allclose(case.weights, trained, rtol=1e-6)
    assert main(["verify", str(run.folder), "--package", "qhybrid", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["verdict"] for each in found] == ["right"] * 4
    assert main(["verify", "unet"]) == 2
    assert "'unet' has no circuits to verify" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_observables_of_several_strings_shrink_string_by_string() -> None:
    case = find_case("rx")
    sum_ = SparsePauliOp(["I", "Z", "X"], [0.5, 2.0, 1.0])
    summed = replace(case, variational=replace(case.variational, observables=(sum_,)))
    x, _, z = case.reference("values")
    wanted = 0.5 + (1 - 2 * READOUT_ERROR) * (2 * z + x)
    np.testing.assert_allclose(summed.reference("readout"), [wanted], atol=1e-12)


class AnyGate:
    """Stands for PennyLane, which takes every gate."""

    def __getattr__(self, name: str) -> object:
        return lambda *angles, wires: None


X = Parameter("x")


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (SdgGate(), "no gate of PennyLane is known here for sdg"),
        (RXGate(X * X), "is not affine"),
        (RXGate(2 * X), ""),
    ],
    ids=["name", "angle", "known"],
)
def test_what_cannot_be_translated_is_no_refusal_of_the_tool(gate: Gate, said: str) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(X, 0)
    circuit.append(gate, [0])
    variational = VariationalCircuit("one", circuit, [X], [], [SparsePauliOp("Z")])

    def answer(case: Case) -> np.ndarray:
        for each in plain_gates(variational):
            _apply(AnyGate(), each, [0.5])
        return case.reference("values")

    (found,) = verify(["rx"], [Tool("a", "numpy", "values", answer)])
    assert found.verdict == ("absent" if said else "right")
    assert said in found.message
