import hashlib
from pathlib import Path

import numpy as np
import pytest

from qhybrid.cli.main import main
from qhybrid.data import medmnist
from qhybrid.data.catalog import DATASETS
from qhybrid.data.load import load_dataset
from qhybrid_circuits.errors import RequestError

_RNG = np.random.default_rng(5)
_BLOOD = {
    split: _RNG.integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
    for split, count in (("train", 16), ("val", 3), ("test", 4))
}


def _write(path: Path, images: dict[str, np.ndarray], labels: int = 1) -> bytes:
    """Write a file as MedMNIST's are: labels (N, 1), or (N, 14) of chestmnist."""
    arrays = {}
    for split, pixels in images.items():
        ids = np.arange(len(pixels) * labels).reshape(-1, labels)
        arrays[f"{split}_labels"] = (ids % (8 if labels == 1 else 2)).astype(np.uint8)
        arrays[f"{split}_images"] = pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path.read_bytes()


@pytest.fixture
def served(
    tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, bytes]:
    """A cache folder, and bloodmnist where it is published."""
    address, folder = server
    content = _write(folder / "files" / "bloodmnist.npz", _BLOOD)
    monkeypatch.setattr(medmnist, "RECORD", address.rstrip("/"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("QHYBRID_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache", content


def _publish(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    known = medmnist.FILES["bloodmnist"]._replace(md5=hashlib.md5(content).hexdigest())
    monkeypatch.setitem(medmnist.FILES, "bloodmnist", known)


def test_a_set_is_downloaded_once(
    served: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, content = served
    _publish(monkeypatch, content)
    train = load_dataset("bloodmnist")
    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["bloodmnist.npz"]
    monkeypatch.setattr(medmnist, "_download", lambda *_: pytest.fail("downloaded again"))
    np.testing.assert_array_equal(train.images.numpy(), _BLOOD["train"])
    assert train.labels.tolist() == [*range(8)] * 2
    assert train.class_names[7] == "platelet"
    for split in ("val", "test"):
        found = load_dataset("bloodmnist", split=split)
        np.testing.assert_array_equal(found.images.numpy(), _BLOOD[split])
    chosen = load_dataset("bloodmnist", classes="platelet,0")
    assert chosen.labels.tolist() == [0, 7, 0, 7]


def test_another_file_than_the_published_one_is_not_kept(served: tuple[Path, bytes]) -> None:
    cache, _ = served
    with pytest.raises(RequestError, match="download of bloodmnist failed"):
        load_dataset("bloodmnist")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_without_a_network_one_line_says_which_file_goes_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(medmnist, "RECORD", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("QHYBRID_DATA", str(tmp_path / "cache"))
    command = ["train", "--dataset", "bloodmnist", "--out", str(tmp_path / "run")]
    assert main(command) == 2
    line = capsys.readouterr().err
    folder = tmp_path / "cache" / "MedMNIST"
    assert f"put bloodmnist.npz of http://127.0.0.1:1 into '{folder}'" in line
    assert line.count("\n") == 1
    assert not (tmp_path / "run").exists()
    _write(folder / "bloodmnist.npz", _BLOOD)
    assert len(load_dataset("bloodmnist")) == 16


def test_several_labels_an_image_are_left_out(tmp_path: Path) -> None:
    pixels = {"train": _BLOOD["train"][..., 0]}
    _write(tmp_path / "MedMNIST" / "chestmnist.npz", pixels, labels=14)
    found = load_dataset("chestmnist", cache_dir=tmp_path)
    np.testing.assert_array_equal(found.images[..., 0].numpy(), pixels["train"])
    assert found.class_names == {0: "all"}
    assert found.notes == (
        "chestmnist has several labels an image: all images are of one class, 'all'",
    )


def test_a_file_of_other_classes_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "MedMNIST" / "breastmnist.npz", {"train": _BLOOD["train"][..., 0]})
    with pytest.raises(RequestError, match="labels up to 7, but breastmnist has 2 classes"):
        load_dataset("breastmnist", cache_dir=tmp_path)


def test_listings_say_how_many_classes_there_are() -> None:
    for name, file in medmnist.FILES.items():
        assert DATASETS[name].num_classes == (1 if file.classes is None else len(file.classes))
        assert len(file.md5) == 32
