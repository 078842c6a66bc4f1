import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qhybrid.influence import InfluenceRecord
from qhybrid.models.catalog import catalog
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import save_model
from qhybrid.models.zoo import build_model
from qhybrid.report.build import Report, build_report
from qhybrid.report.circuits import circuit_key
from qhybrid.report.render import render
from qhybrid.report.request import ReportRequest
from qhybrid.report.stored import subject_circuits
from qhybrid.report.subject import find_subject, parse_settings
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import save_config
from qhybrid_circuits import RequestError, build_ansatz
from qhybrid_circuits.disk_cache import use_cache

NUMBER = (int, float)
FIGURES = {
    "physical_qubits": (int, type(None)),
    "depth": int,
    "gate_counts": dict,
    "two_qubit_gates": int,
    "two_qubit_depth": int,
    "swaps": (int, type(None)),
    "duration_us": (float, type(None)),
    "success_probability": (float, type(None)),
}
REPORT = {
    "circuit": str,
    "circuits": int,
    "target": (str, type(None)),
    "fractional": bool,
    "logical_qubits": int,
    "device_qubits": (int, type(None)),
    "layout": (list, type(None)),
    "used_qubits": (list, type(None)),
    **FIGURES,
    "stock": (dict, type(None)),
    "stock_bound": (dict, type(None)),
    "topologies": list,
    "health": (dict, type(None)),
}
HEALTH = {
    "weights": int,
    "dead_weights": int,
    "dead_weight_indices": list,
    "inputs": int,
    "dead_inputs": int,
    "dead_input_indices": list,
    "rank": (int, type(None)),
    "redundant_weights": (int, type(None)),
    "gradient_variance": (float, type(None)),
    "expressibility": (float, type(None)),
    "entangling_capability": (float, type(None)),
    "trend": (dict, type(None)),
}
TREND = {
    "by_qubits": list,
    "by_layers": list,
    "log2_per_qubit": (float, type(None)),
    "log2_per_layer": (float, type(None)),
}
MODEL = {
    "circuits_per_step": int,
    "rounds_per_step": int,
    "health": (dict, type(None)),
    "influence": (dict, type(None)),
    "influence_measured_on": (str, type(None)),
    "sampling": (dict, type(None)),
}
INFLUENCE = dict.fromkeys(("mean", "shuffled", "random", "zero"), dict)
CHANGE = {"output": float, "loss": (float, type(None))}
MODEL_HEALTH = {
    "weights": int,
    "dead_weights": int,
    "circuits": int,
    "dead_circuits": list,
    "parameters_without_gradient": list,
    "circuit_effect": float,
}
COST = {
    "jobs": int,
    "executions_per_image": NUMBER,
    "qpu_seconds_per_image": NUMBER,
    "open_plan_share": NUMBER,
}
SAMPLING = {
    "sampler": str,
    "steps": int,
    "shots": int,
    "num_images": int,
    **COST,
    "stock": dict,
}
TOP = {"qhybrid": str, "subject": dict, "model": (dict, type(None)), "reports": list}
TOP |= {"skipped": list}
SUBJECT = {
    "kind": str,
    "name": str,
    "model": (str, type(None)),
    "settings": dict,
    "parameters": (int, type(None)),
    "weights": str,
}
TOPOLOGY = {key: REPORT[key] for key in ("two_qubit_gates", "two_qubit_depth")}
TOPOLOGY |= {"topology": str, "success_probability": REPORT["success_probability"]}


def conforms(value: Any, schema: dict[str, Any]) -> None:
    assert set(value) == set(schema)
    for key, kind in schema.items():
        assert isinstance(value[key], kind), key


def conforms_as_a_whole(content: Any) -> None:
    conforms(content, TOP)
    conforms(content["subject"], SUBJECT)
    if content["model"] is not None:
        conforms(content["model"], MODEL)
        if content["model"]["sampling"] is not None:
            conforms(content["model"]["sampling"], SAMPLING)
            conforms(content["model"]["sampling"]["stock"], COST)
        if content["model"]["health"] is not None:
            conforms(content["model"]["health"], MODEL_HEALTH)
        if content["model"]["influence"] is not None:
            conforms(content["model"]["influence"], INFLUENCE)
            for change in content["model"]["influence"].values():
                conforms({**change, "samples": 0.0}, {**CHANGE, "samples": float})
    for report in content["reports"]:
        conforms(report, REPORT)
        for key in ("stock", "stock_bound"):
            if report[key] is not None:
                conforms(report[key], FIGURES)
        for topology in report["topologies"]:
            conforms(topology, TOPOLOGY)
        if report["health"] is not None:
            conforms(report["health"], HEALTH)
            if report["health"]["trend"] is not None:
                conforms(report["health"]["trend"], TREND)


def test_the_report_of_a_model_conforms_to_the_schema(model_report: Report) -> None:
    content = json.loads(json.dumps(model_report.content))
    conforms_as_a_whole(content)
    assert [each["target"] for each in content["reports"]] == ["fake_nighthawk", "fake_berlin"]
    for report in content["reports"]:
        assert (report["circuit"], report["circuits"]) == ("hqconv", 4)
        assert report["health"]["dead_weights"] == 0
        assert report["two_qubit_gates"] < report["stock"]["two_qubit_gates"]
        assert 0 < report["success_probability"] < 1
        assert {each["topology"] for each in report["topologies"]} == {"heavy-hex", "line"}


def test_the_influence_of_a_model_that_is_not_trained(model_report: Report, cache: Path) -> None:
    """On noise, by the first weights; the circuits' effect on one image is that of zeros."""
    model = model_report.content["model"]
    assert model["influence_measured_on"] == "noise, with the random weights of seed 0"
    assert all(change["loss"] is None for change in model["influence"].values())
    assert 1e-5 < model["influence"]["mean"]["output"] < 0.1
    assert model["influence"]["zero"]["output"] > model["influence"]["mean"]["output"]
    for name, found in {"unet": False, "1hqconv-qvunet-control": True}.items():
        assert bool(build_report(ReportRequest(name)).content["model"]["influence"]) is found
    without = build_report(ReportRequest("1hqconv-qvunet", health=False)).content["model"]
    assert without["influence"] is without["influence_measured_on"] is None


def test_the_influence_of_a_run_is_its_own_record(cache: Path, tmp_path: Path) -> None:
    run = Run(tmp_path)
    save_config(Config(), run.config_file)
    spec = ModelSpec("1hqconv-qvunet", image_size=8, dim=2, ansatz_layers=1)
    save_model(build_model(spec), spec, run.folder)
    request = ReportRequest(str(run.folder))
    assert build_report(request).content["model"]["influence"] is None
    figures: dict[str, dict[str, float | None]] = {
        way: {"output": 0.5, "loss": 0.25, "samples": 0.125} for way in INFLUENCE
    }
    InfluenceRecord(7, 360, "test", figures).save(run)
    report = build_report(request)
    conforms_as_a_whole(report.content)
    assert report.content["model"]["influence"] == figures
    text = render(report, "table")
    assert "by 0.5 of its size and the loss by +25.00 %: the model uses them" in text
    assert "measured on 360 test images after step 7" in text


def test_a_schema_is_documented_key_by_key() -> None:
    text = Path(__file__).parents[3].joinpath("docs", "reports.md").read_text(encoding="utf-8")
    schemas = (TOP, SUBJECT, REPORT, HEALTH, TREND, MODEL, MODEL_HEALTH, SAMPLING, TOPOLOGY)
    schemas += (INFLUENCE, CHANGE)
    missing = {key for schema in schemas for key in schema if f"`{key}`" not in text}
    assert not missing


@pytest.mark.parametrize("name", ["unet", "1hqconv-qvunet", "fullfqconv-qvunet"])
def test_a_models_figures_are_those_of_the_catalog(name: str, cache: Path) -> None:
    entry = next(entry for entry in catalog() if entry["name"] == name)
    report = build_report(ReportRequest(name, health=False)).content
    conforms_as_a_whole(report)
    assert report["subject"]["parameters"] == entry["parameters"]
    for key in ("circuits_per_step", "rounds_per_step"):
        assert report["model"][key] == entry[key]
    qubits = [each["logical_qubits"] for each in report["reports"]]
    assert max(qubits, default=0) == entry["qubits"]


@pytest.mark.parametrize("name", ["1hqconv-qvunet", "fullhqconv-qvunet"])
def test_dead_weights_of_a_model_are_those_of_the_catalog(name: str, cache: Path) -> None:
    entry = next(entry for entry in catalog() if entry["name"] == name)
    circuits = subject_circuits(find_subject(name), use_cache(True))
    assert circuits.health is not None
    assert circuits.health["dead_weights"] == entry["dead_weights"] == 0
    assert circuits.health["parameters_without_gradient"] == []


def test_the_released_model_wastes_most_of_its_circuit_weights(cache: Path) -> None:
    """72 of 84 in each of 4 circuits stand in no gate, and 2 circuits are never evaluated."""
    subject = find_subject("1hqconv-qvunet", {"variant": "released"})
    circuits = subject_circuits(subject, use_cache(True))
    assert circuits.health is not None
    assert circuits.health["dead_weights"] == 2 * 72 + 2 * 84
    assert len(circuits.health["dead_circuits"]) == 2
    assert [use.circuits for use in circuits.uses] == [2]


def test_stored_circuits_are_the_built_ones(cache: Path) -> None:
    """Weights that stand in no gate survive too."""
    subject = find_subject("fullhqconv-qvunet", {"variant": "released", "image_size": 8})
    built, stored = (subject_circuits(subject, use_cache(True)) for _ in range(2))
    assert built is not stored
    assert stored.rounds == built.rounds
    assert stored.health == built.health
    for first, second in zip(built.uses, stored.uses, strict=True):
        assert circuit_key(first.variational) == circuit_key(second.variational)
        np.testing.assert_array_equal(first.weights, second.weights)
        assert (first.circuits, first.options) == (second.circuits, second.options)


def test_options_of_a_models_circuits_are_found(model_report: Report) -> None:
    (use,) = model_report.circuits.uses
    assert use.options is not None
    rebuilt = build_ansatz("hqconv", **use.options)
    assert circuit_key(rebuilt) == circuit_key(use.variational)


def test_health_can_be_left_out(cache: Path) -> None:
    content = build_report(ReportRequest("basic_entangling", health=False)).content
    assert content["reports"][0]["health"] is None
    conforms_as_a_whole(content)


def test_executions_follow_the_plan(cache: Path) -> None:
    """4 rounds of one circuit: a job each, 2 s per job and 0.35 ms per execution."""
    request = ReportRequest(
        "1hqconv-qvunet", health=False, shots=256, sampler="ddim", steps=10, num_images=16
    )
    model = build_report(request).content["model"]
    sampling = model["sampling"]
    # Twirling rounds 256 shots up to 64 a randomization; calibration is one more set, once.
    executions = (10 * 4 * 16 + 1) * 256
    assert sampling["jobs"] == 40
    assert sampling["executions_per_image"] == executions / 16
    assert sampling["qpu_seconds_per_image"] == pytest.approx((80 + 0.00035 * executions) / 16)
    assert sampling["stock"]["executions_per_image"] > 10 * sampling["executions_per_image"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ReportRequest("hqconf"), "did you mean hqconv"),
        (ReportRequest("hqconv", ("fake_fes",)), "did you mean fake_fez"),
        (ReportRequest("hqconv", ("fake_lima",)), "5 qubits, but the circuit has 12"),
        (ReportRequest("hqconv", ("ibm_brisbane",)), "retired on 2025-11-03"),
        (ReportRequest("hqconv", ("ibm_fez",)), "no IBM Quantum account"),
        (ReportRequest("hqconv", ("statevector",)), "unknown target"),
        (ReportRequest("hqconv", shots=0), "--shots must be 1 to"),
        (ReportRequest("hqconv", num_images=0), "--num-images must be 1 to"),
        (ReportRequest("hqconv", steps=2000), "steps must be between 1"),
        (ReportRequest("hqconv", sampler="dd"), "unknown sampler"),
        (ReportRequest("hqconv", settings={"layer": 2}), "takes channels, layers"),
        (ReportRequest("1hqconv-qvunet", settings={"layers": 2}), "unknown model setting"),
        (ReportRequest("runs/none"), "there is no folder"),
    ],
)
def test_what_is_wrong_is_refused(request_: ReportRequest, message: str, cache: Path) -> None:
    with pytest.raises(RequestError, match=message):
        build_report(request_)


def test_settings_are_numbers_or_text() -> None:
    assert parse_settings(["layers=2", "variant=released"]) == {"layers": 2, "variant": "released"}
    with pytest.raises(RequestError, match="KEY=VALUE"):
        parse_settings(["layers"])


def test_a_run_is_reported_with_its_own_weights(cache: Path, tmp_path: Path) -> None:
    import torch

    from qhybrid.models.spec import ModelSpec
    from qhybrid.models.storage import save_model
    from qhybrid.models.zoo import build_model
    from qhybrid.settings.config import Config
    from qhybrid.settings.sources import save_config

    spec = ModelSpec("1fqconv-qvunet", image_size=8, dim=4, ansatz_layers=1)
    model = build_model(spec, generator=torch.Generator().manual_seed(5))
    run = tmp_path / "run"
    with pytest.raises(RequestError, match="no folder"):
        build_report(ReportRequest(str(run)))
    save_config(Config(), run / "config.toml")
    with pytest.raises(RequestError, match=r"no model\.safetensors"):
        build_report(ReportRequest(str(run)))
    save_model(model, spec, run)
    found = build_report(ReportRequest(str(run), health=False))
    assert found.content["subject"]["weights"] == "trained"
    assert found.content["subject"]["model"] == "1fqconv-qvunet"
    trained = model.state_dict()["vertex.first.first.bank.layers.0.weight"].numpy()
    np.testing.assert_allclose(found.circuits.uses[0].weights, trained, rtol=1e-6)
    with pytest.raises(RequestError, match="leave out --set"):
        build_report(ReportRequest(str(run), settings={"dim": 4}))


def test_nothing_heavy_is_needed_to_refuse(cache: Path) -> None:
    import subprocess

    code = (
        "import sys; from qhybrid.cli import main; "
        "assert main(['report', 'hqconf']) == 2; "
        "assert main(['report', 'hqconv', '--target', 'fake_fes']) == 2; "
        "print([m for m in ('torch', 'qiskit', 'qiskit_ibm_runtime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert len(done.stderr.splitlines()) == 2
