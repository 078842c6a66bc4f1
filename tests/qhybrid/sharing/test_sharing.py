import json
from pathlib import Path

import numpy as np
import pytest
import qiskit.qpy
import torch
from qiskit import qasm3
from qiskit.quantum_info import Statevector

import qhybrid
from qhybrid.cli import main
from qhybrid.files import sealed, write_json
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run, check_free
from qhybrid.sampling.request import SamplingRequest
from qhybrid.settings.sources import load_config
from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_runtime import QuantumLayer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    overrides = {
        "model.ansatz_layers": 1,
        "training.max_steps": 1,
        "training.device": "cpu",
        "sampling.steps": 1,
        "sampling.num_images": 1,
    }
    folder = tmp_path_factory.mktemp("runs") / "small"
    run = qhybrid.train(load_config(overrides=overrides), out=folder)
    figure = {"name": "fid", "value": 12.5, "low": 12.0, "high": 13.0, "floor": 1.5}
    write_json(run.evaluations / "epoch-001.json", sealed({"epoch": 1, "figures": [figure]}))
    return run


@pytest.fixture(scope="module")
def export(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "small"
    asked = ["export", str(run.folder), "--out", str(folder), "--licence", "mit", "--qasm"]
    assert main([*asked, "--target", "fake_fez"]) == 0
    return folder


def test_a_pipeline_draws_what_sampling_draws(run: Run, export: Path, tmp_path: Path) -> None:
    pipe = qhybrid.from_pretrained(export)
    drawn = pipe(num_images=3, seed=5, backend="aer")
    request = SamplingRequest(3, seed=5, backend="aer")
    wanted = np.load(qhybrid.sample_run(run, request, out=tmp_path / "drawn").images_file)["images"]
    assert [image.mode for image in drawn.images] == ["L"] * 3
    found = np.stack([np.asarray(image)[..., None] for image in drawn.images])
    np.testing.assert_array_equal(found, wanted)
    assert repr(drawn) == "PipelineOutput(3 images)"
    assert drawn._repr_png_().startswith(b"\x89PNG")
    grid = run.newest_grid()
    assert grid is not None
    assert qhybrid.load(run)._repr_png_() == grid.read_bytes()
    assert not (export / "samplings").exists()


def test_the_exported_model_is_the_run_s(run: Run, export: Path) -> None:
    ours, theirs = load_model(run.folder).state_dict(), qhybrid.load(export).model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_card_says_what_there_is(run: Run, export: Path) -> None:
    card = (export / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: mit\nlibrary_name: qhybrid\n")
    assert "| dead weights of circuits, without effect on any output | 0 of 112 |" in card
    assert "influence of the circuits" in card
    assert "| fid, epoch 1 | 12.5 (95 % interval 12 to 13; real images 1.5) |" in card
    for name in ("grid.png", "model.safetensors", "config.toml"):
        assert (export / name).is_file()
        assert name in card
    assert json.loads((export / "config.json").read_text())["model_type"] == "1hqconv-qvunet"
    assert not (export / "environment.json").exists()


def test_circuits_on_disk_are_the_trained_ones(run: Run, export: Path, rng) -> None:
    layers = {
        name: layer
        for name, layer in load_model(run.folder).named_modules()
        if isinstance(layer, QuantumLayer)
    }
    assert len(layers) == 4
    name, layer = next(iter(layers.items()))
    variational = layer.variational
    inputs = rng.uniform(-1, 1, variational.num_inputs)
    values = dict(zip(variational.weights, layer.weight.double().tolist(), strict=True))
    values |= dict(zip(variational.inputs, inputs, strict=True))
    wanted = Statevector(variational.circuit.assign_parameters(values))
    with (export / "circuits" / f"{name}.qpy").open("rb") as file:
        (stored,) = qiskit.qpy.load(file)
    (lowered,) = (export / "circuits").glob(f"{name}-lowered.qasm")
    assert {"cz"} <= set(qasm3.loads(lowered.read_text()).count_ops())
    parsed = qasm3.loads((export / "circuits" / f"{name}.qasm").read_text())
    for circuit in (stored, parsed):
        # OpenQASM has no brackets in names: x[0] is _x_0_ there.
        named = {"".join(filter(str.isalnum, p.name)): v for p, v in values.items()}
        bound = circuit.assign_parameters(
            {p: named["".join(filter(str.isalnum, p.name))] for p in circuit.parameters}
        )
        assert Statevector(bound).equiv(wanted)


def test_wrong_requests_are_refused(
    run: Run, export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean steps"):
        qhybrid.load(export)(step=3)
    with pytest.raises(RequestError, match="there is no folder"):
        qhybrid.from_pretrained(tmp_path / "none")
    for arguments, said in [
        (["--out", str(export)], "holds an exported model"),
        (["--out", str(tmp_path / "new"), "--target", "aer"], "--target must be a fake QPU"),
    ]:
        assert main(["export", str(run.folder), *arguments]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_export_is_not_trained_anew(export: Path) -> None:
    weights = (export / "model.safetensors").read_bytes()
    with pytest.raises(RequestError, match="no checkpoint to resume from, as an export or a copy"):
        qhybrid.train(out=export, resume=True)
    assert (export / "model.safetensors").read_bytes() == weights
    with pytest.raises(RequestError, match="holds an exported model; choose another --out"):
        check_free(export)
