import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v2
from torchvision.transforms.v2 import functional

from qhybrid.evaluation import classifier
from qhybrid.evaluation.features import FEATURES, Wanted
from qhybrid.evaluation.inception import load_inception
from qhybrid.evaluation.mobilenet import load_mobilenet
from qhybrid.settings.sections import DataSection
from qhybrid_circuits.errors import RequestError

PIXELS = torch.arange(2 * 64, dtype=torch.uint8).reshape(2, 1, 8, 8)


def wanted(weights: Path | None = None, **data: object) -> Wanted:
    return Wanted(DataSection(**data), weights, "cpu", lambda text: None)  # type: ignore[arg-type]


@pytest.fixture
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and nothing in torch's cache or in packages of the machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("qhybrid.evaluation.pretrained.distributions", lambda: ())

    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def test_mobilenet_is_torchvisions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = mobilenet_v2().eval()
    torch.save(network.state_dict(), tmp_path / "mobilenet_v2-made-here.pth")
    package = tmp_path / "weights-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: weights\nVersion: 1.0\n")
    (package / "RECORD").write_text("mobilenet_v2-made-here.pth,,\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        patch.setattr(sys, "path", [str(tmp_path), *sys.path])
        extractor = load_mobilenet(wanted())
    assert "mobilenet_v2-made-here.pth" in extractor.note
    large = functional.resize(PIXELS.expand(-1, 3, -1, -1).float() / 255, [224, 224])
    x = functional.normalize(large, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.inference_mode():
        features, logits = extractor.network(PIXELS)
        torch.testing.assert_close(logits, network(x), atol=1e-4, rtol=1e-3)
    assert features.shape == (2, 1280)


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize(
    ("name", "load"), [("mobilenet", load_mobilenet), ("inception", load_inception)]
)
def test_features_that_cannot_be_had_say_which_can(
    name: str, load: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError) as raised:
        load(wanted())  # type: ignore[operator]
    message = str(raised.value)
    assert message.startswith(f"features '{name}' cannot be had: ")
    assert message.endswith("those that can: classifier")
    assert "\n" not in message
    assert "--weights FILE" in message or "pip install 'qhybrid[evaluation]'" in message
    broken = tmp_path / "broken.pth"
    for content in (b"not weights", b""):
        broken.write_bytes(content)
        with pytest.raises(RequestError, match=f"'{name}' cannot be had"):
            load(wanted(broken))  # type: ignore[operator]


def test_the_classifier_is_trained_once_and_knows_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QHYBRID_CACHE_DIR", str(tmp_path))
    first = classifier.load_classifier(wanted())
    (kept,) = (tmp_path / "classifiers").iterdir()
    monkeypatch.setattr(classifier, "_train", lambda *_: pytest.fail("trained again"))
    again = classifier.load_classifier(wanted(classes="0,1", limit=50))
    with torch.inference_mode():
        for one, other in zip(first.network(PIXELS), again.network(PIXELS), strict=True):
            assert torch.equal(one, other)
    accuracy = float(again.note.split()[1].rstrip("%"))
    assert accuracy > 95
    assert kept.suffix == ".safetensors"
    assert FEATURES["classifier"].prefix == "classifier-"


def test_one_class_has_no_classifier(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    path = tmp_path / "one.npz"
    np.savez(path, train_images=images, train_labels=np.zeros(40, np.uint8))
    with pytest.raises(RequestError, match=r"'classifier' cannot be had: .*all of one class"):
        classifier.load_classifier(wanted(dataset=str(path)))
