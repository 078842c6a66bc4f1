"""The way of quantum states through training, sampling, evaluation and the command line."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector, state_fidelity
from safetensors.torch import load_file

from qhybrid.cli.main import main
from qhybrid.data.states import load_states
from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run
from qhybrid.settings.sources import load_config
from qhybrid.states.decoherence import DecoherenceProcess
from qhybrid.states.density import density_matrices
from qhybrid.states.losses import fidelity
from qhybrid.states.objective import state_denoising_loss, state_generation_loss
from qhybrid.training.module import DenoisingModule
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError

TINY = {
    "data.dataset": "states:cluster",
    "data.qubits": 1,
    "data.limit": 64,
    "diffusion.timesteps": 3,
    "model.ansatz_layers": 1,
    "training.device": "cpu",
    "training.batch_size": 8,
    "training.lr_schedule": "constant",
}


def trained(folder: Path, epochs: int, **changed: Any) -> Run:
    settings = {**TINY, "training.epochs": epochs, **changed}
    return train(load_config(overrides=settings), out=folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("states") / "run", 10, **{"training.warmup_steps": 0})


def test_a_run_learns_the_cluster_and_says_so(run: Run) -> None:
    with run.metrics_file.open() as file:
        found = [float(row["fidelity"]) for row in csv.DictReader(file) if row["fidelity"]]
    assert len(found) == 10
    assert found[-1] > 0.95
    model = load_model(run.folder)
    data = load_states("states:cluster", qubits=1, limit=64).images
    generated = model.reverse.chain()[-1].detach().numpy()
    expected = state_fidelity(generated, data.mean(0).numpy())
    assert found[-1] == pytest.approx(expected, abs=1e-3)
    for picture in (run.fidelity_plot, run.sample_grid(10), run.loss_plot):
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads((run.folder / "model.json").read_text())["spec"] == {
        "name": "qreverse",
        "ansatz_layers": 1,
        "variant": "paper",
        "timesteps": 3,
        "qubits": 1,
        "ancillas": 1,
    }


@pytest.mark.parametrize("distance", ["fidelity", "trace", "hilbert-schmidt"])
def test_the_loss_is_the_sum_of_both_losses(run: Run, distance: str) -> None:
    model, states = load_model(run.folder), load_states("states:cluster", qubits=1).images[:5]
    config = load_config(overrides={**TINY, "diffusion.distance": distance})
    module = DenoisingModule(model, load_states("states:cluster", qubits=1), config)
    labels = torch.zeros(5, dtype=torch.int64)
    generator = torch.Generator().manual_seed(2)
    found = module.process.loss(model, states, labels, generator, GaussianNoise())
    generator.manual_seed(2)
    forward = module.process.forward(1)
    expected = state_denoising_loss(model.reverse, forward, states, generator, loss=distance)
    expected = expected + state_generation_loss(model.reverse, states, loss=distance)
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)


def test_the_noise_of_a_qpu_is_learned_and_drawn_against(tmp_path: Path) -> None:
    changed = {"diffusion.decoherence": "fake_fez", "training.warmup_steps": 0}
    run = trained(tmp_path / "run", 10, **changed)
    states = load_states("states:cluster", qubits=1, limit=64)
    model = load_model(run.folder)
    assert fidelity(model.reverse.chain()[-1].detach(), states.images.mean(0)).item() > 0.95
    forward = DenoisingModule(model, states, run.config()).process.forward(1)
    assert isinstance(forward, DecoherenceProcess)
    drawn = tmp_path / "drawn"
    assert main(["sample", str(run.folder), "--num-images", "8", "--out", str(drawn)]) == 0
    assert (drawn / "fidelity.png").is_file()


def test_resumed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, stopped = trained(tmp_path / "whole", 4), trained(tmp_path / "stopped", 2)
    config = load_config(overrides={**TINY, "training.epochs": 4})
    resumed = train(config, out=stopped.folder, resume=True)
    expected, found = load_file(whole.model_file), load_file(resumed.model_file)
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert expected["reverse.table.weight"].any()


def test_drawn_states_average_to_what_the_circuits_generate(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, part = tmp_path / "all", tmp_path / "part"
    drawing = ["sample", str(run.folder), "--batch-size", "200"]
    assert main([*drawing, "--num-images", "2000", "--out", str(out)]) == 0
    assert str(out / "fidelity.png") in capsys.readouterr().out
    states = np.load(out / "states.npz")["states"]
    assert (states.dtype, states.shape) == (np.complex128, (2000, 2))
    assert all(Statevector(state).is_valid() for state in states[:20])
    generated = load_model(run.folder).reverse.chain()[-1].detach().numpy()
    np.testing.assert_allclose(states.T @ states.conj() / 2000, generated, atol=0.04)
    assert main([*drawing, "--num-images", "50", "--backend", "aer", "--out", str(part)]) == 0
    np.testing.assert_allclose(np.load(part / "states.npz")["states"], states[:50], atol=1e-6)


def test_shards_are_merged(run: Run, tmp_path: Path) -> None:
    draw = ["sample", str(run.folder), "--num-images", "130", "--batch-size", "15"]
    shards = [str(tmp_path / name) for name in "ab"]
    for number, folder in enumerate(shards, start=1):
        assert main([*draw, "--shard", f"{number}/2", "--out", folder]) == 0
    whole, merged = tmp_path / "whole", tmp_path / "merged"
    assert main([*draw, "--out", str(whole)]) == 0
    merging = [f"--merge={folder}" for folder in shards]
    assert main(["sample", str(run.folder), *merging, "--out", str(merged)]) == 0
    one, other = (np.load(each / "states.npz")["states"] for each in (whole, merged))
    assert np.array_equal(one, other)
    assert (merged / "fidelity.png").is_file()


def test_evaluation_compares_with_the_data(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run.folder), "--num-images", "200", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    figures = {each["name"]: each for each in found["figures"]}
    assert list(figures) == ["fidelity", "MMD", "Wasserstein"]
    for each in figures.values():
        assert each["low"] <= each["value"] <= each["high"]
        assert (each["images"], each["reference_images"]) == (200, 64)
    assert figures["fidelity"]["floor"] > 0.99
    assert found["memorization"] is None


def test_a_report_has_the_circuit_and_no_bill(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run.folder), "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["model"]["health"]["weights"] == 3 * 8
    assert content["model"]["health"]["dead_weights"] == 0
    assert content["model"]["sampling"] is content["model"]["influence"] is None
    (circuit,) = content["reports"]
    assert (circuit["logical_qubits"], circuit["two_qubit_gates"]) == (2, 2)
    assert main(["report", str(run.folder)]) == 0
    assert "no QPU draws from it" in capsys.readouterr().out


def test_a_file_of_states_is_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("bell.npz", states=np.tile([3.0, 0, 0, 3j], (10, 1)))
    options = ["--epochs", "1", "--device", "cpu", "--set", "diffusion.timesteps=2"]
    assert main(["train", "--dataset", "states:bell.npz", *options, "--out", "run"]) == 0
    said = capsys.readouterr().out
    assert f"qreverse is trained, since 'states:{tmp_path}/bell.npz' holds quantum states" in said
    assert Run(Path("run")).config().data.dataset == f"states:{tmp_path}/bell.npz"
    Path("bell.npz").rename("moved.npz")
    assert main(["sample", "run", "--num-images", "2"]) == 0
    assert main(["train", "--resume", "--out", "run", "--epochs", "2"]) == 2
    assert "bell.npz' does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model.name": "unet"}, "unet is a model of images, but 'states:cluster' holds quantum"),
        ({"data.dataset": "digits", "model.name": "qreverse"}, "'digits' holds images; leave"),
        ({"data.classes": "1"}, "data.classes is for images"),
        ({"data.dataset": "digits"}, "data.qubits is for quantum states"),
        ({"data.qubits": 5}, "data.qubits must be less than or equal to 4, but is 5"),
        ({"model.ancillas": 5}, "ancillas of qreverse must be 0 to 4, but is 5"),
        ({"quantum.backend": "fake_fez"}, "the backend is 'fake_fez'; use statevector or aer"),
        ({"quantum.noise_aware": "fake_fez"}, "the backend is 'noise-aware:fake_fez'"),
        ({"sampling.sampler": "ddim"}, "by the sampler ddpm with all 3 timesteps"),
        ({"evaluation.every": 1}, "--evaluate-every compares images"),
        ({"diffusion.p2_gamma": 1.0}, "diffusion.p2_gamma weighs the noise in images"),
        ({"diffusion.decoherence": "fake_fes"}, "did you mean fake_fez"),
        ({"diffusion.distance": "trac"}, "must be 'fidelity', 'trace' or 'hilbert-schmidt'"),
        ({"training.optimizer": "qng"}, "are given mixed ones"),
        ({"data.dataset": "states:clustr"}, "did you mean states:cluster"),
        ({"data.dataset": "states:none.npz"}, "no such file"),
    ],
)
def test_configurations_that_cannot_be(changed: dict[str, Any], message: str) -> None:
    def asked() -> None:
        train(load_config(overrides={**TINY, **changed}))  # which is where files are looked for

    with pytest.raises(RequestError, match=message):
        asked()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["sample", "--backend", "fake_fez"], "the backend is 'fake_fez'; use statevector or aer"),
        (["sample", "--steps", "2"], "but was asked for ddpm with 2"),
        (["evaluate", "--dataset", "digits"], "draws quantum states, but 'digits' holds images"),
        (["evaluate", "--features", "inception"], "--features and --weights are for images"),
        (["evaluate", "--dataset", "states:ising"], "states of 2 amplitudes, but those"),
    ],
)
def test_wrong_requests_of_a_run(
    run: Run, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = options
    assert main([command, str(run.folder), *rest, *["--num-images", "100"]]) == 2
    assert message in capsys.readouterr().err


def test_the_fidelity_of_states_is_qiskits() -> None:
    states = load_states("states:circle", qubits=2, limit=3).vectors
    ours = fidelity(density_matrices(states[0]), density_matrices(states[1]))
    theirs = state_fidelity(Statevector(states[0].numpy()), Statevector(states[1].numpy()))
    assert ours.item() == pytest.approx(theirs, abs=1e-9)
