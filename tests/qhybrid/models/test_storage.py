import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qhybrid.models.model_file import read_spec
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import load_model, save_model
from qhybrid.models.zoo import build_model
from qhybrid_circuits.errors import RequestError, WriteError

SMALL = ModelSpec("1hqconv-qvunet", image_size=8, dim=2, ansatz_layers=1)
CLASSICAL = ModelSpec("unet", image_size=8, dim=2)


def _saved(folder: Path, spec: ModelSpec = CLASSICAL) -> Path:
    save_model(build_model(spec, generator=torch.Generator().manual_seed(0)), spec, folder)
    return folder


@pytest.mark.parametrize("as_state", [False, True])
def test_round_trip(tmp_path: Path, as_state: bool) -> None:
    model = build_model(SMALL, generator=torch.Generator().manual_seed(0))
    folder = tmp_path / "new" / "run"
    save_model(model.state_dict() if as_state else model, SMALL, folder)
    loaded = load_model(folder)
    assert read_spec(folder) == SMALL
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[name]) for name, t in loaded.state_dict().items())
    images, times = torch.randn(2, 1, 8, 8), torch.tensor([1, 900])
    assert torch.equal(loaded(images, times), model(images, times))


def test_files_are_what_they_say(tmp_path: Path) -> None:
    folder = _saved(tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.safetensors"]
    tensors = load_file(folder / "model.safetensors")
    content = json.loads((folder / "model.json").read_text())
    assert content["format"] == 1
    assert content["spec"] == CLASSICAL.to_dict()
    assert content["tensors"] == {name: list(t.shape) for name, t in tensors.items()}


def test_a_circuit_has_one_key(tmp_path: Path) -> None:
    tensors = load_file(_saved(tmp_path, SMALL) / "model.safetensors")
    keys = [name for name in tensors if "bank" in name]
    assert len(keys) == 4
    assert all(name.endswith("bank.layers.0.weight") for name in keys)


def test_a_failed_write_keeps_the_old_model(
    tmp_path: Path, files_of_at_most: Callable[[int], AbstractContextManager[None]]
) -> None:
    folder = _saved(tmp_path)
    before = (folder / "model.safetensors").read_bytes()
    message = r"model\.safetensors': File too large"
    with files_of_at_most(1000), pytest.raises(WriteError, match=message):
        _saved(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert len(list(folder.iterdir())) == 2


def test_not_a_model_folder(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="not a model folder"):
        load_model(tmp_path)
    with pytest.raises(RequestError, match="not a model folder"):
        load_model(tmp_path / "missing")
    (_saved(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(RequestError, match=r"no model\.safetensors"):
        load_model(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 2000])
def test_truncated_weights(tmp_path: Path, kept: int) -> None:
    file = _saved(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(RequestError, match="not a readable safetensors file") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "does not describe a model"),
        (b'{"format": 1}', "does not describe a model"),
        (b'{"format": 99, "spec": {"name": "unet"}}', "format 99"),
        (b'{"format": 1, "spec": {"name": "uent"}}', "did you mean unet"),
        (b'{"format": 1, "spec": {"name": "unet", "depth": 3}}', "depth"),
    ],
)
def test_bad_specifications(tmp_path: Path, content: bytes, said: str) -> None:
    (_saved(tmp_path) / "model.json").write_bytes(content)
    with pytest.raises(RequestError, match=said) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)
    assert "model.json" in str(caught.value)


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    _saved(tmp_path / "hybrid", SMALL)
    folder = _saved(tmp_path / "classical")
    (tmp_path / "hybrid" / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(
        RequestError, match="saved from 1hqconv-qvunet, the model is unet"
    ) as caught:
        load_model(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "missing: vertex.first.first.bias" in message
    assert "unexpected: vertex.first.first.bank.layers.0.weight" in message
    assert " and " in message


def test_weights_of_another_size_are_named(tmp_path: Path) -> None:
    _saved(tmp_path / "wide", ModelSpec("unet", image_size=8, dim=3))
    folder = _saved(tmp_path / "narrow")
    (tmp_path / "wide" / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(RequestError, match="wrong shape: decoder"):
        load_model(folder)


def test_weights_without_a_model_name(tmp_path: Path) -> None:
    file = _saved(tmp_path) / "model.safetensors"
    save_file({"alien": torch.zeros(1)}, file)
    with pytest.raises(RequestError, match="unexpected: alien"):
        load_model(tmp_path)


def test_weights_that_are_not_numbers_or_not_floats(tmp_path: Path) -> None:
    path = _saved(tmp_path) / "model.safetensors"
    tensors = load_file(path)
    save_file({name: tensor * float("nan") for name, tensor in tensors.items()}, path)
    with pytest.raises(RequestError, match="weights that are not finite"):
        load_model(tmp_path)
    save_file({name: tensor.int() for name, tensor in tensors.items()}, path)
    with pytest.raises(RequestError, match="not floating point: "):
        load_model(tmp_path)
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    save_file(halves, path)
    state = load_model(tmp_path).state_dict()
    assert all(torch.equal(state[name], half.float()) for name, half in halves.items())


def test_a_description_nested_without_end(tmp_path: Path) -> None:
    _saved(tmp_path)
    (tmp_path / "model.json").write_text("[" * 100_000)
    with pytest.raises(RequestError, match="cannot be read"):
        load_model(tmp_path)


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    files = [_saved(tmp_path / str(number)) / "model.safetensors" for number in range(12)]
    assert len({file.read_bytes() for file in files}) == 1
