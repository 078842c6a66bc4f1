import gzip
import hashlib
import os
import struct
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from torchvision import datasets

from qhybrid.data.download import cache_folder
from qhybrid.data.load import load_dataset
from qhybrid_circuits.errors import RequestError

_RNG = np.random.default_rng(3)
_TRAIN = _RNG.integers(0, 256, (12, 28, 28), dtype=np.uint8)
_TEST = _RNG.integers(0, 256, (4, 28, 28), dtype=np.uint8)


def _idx(array: np.ndarray) -> bytes:
    """Encode uint8 as IDX: two zero bytes, type 8, number of axes, big-endian sizes, data."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def _files() -> dict[str, bytes]:
    return {
        "train-images-idx3-ubyte": _idx(_TRAIN),
        "train-labels-idx1-ubyte": _idx(np.arange(12, dtype=np.uint8) % 10),
        "t10k-images-idx3-ubyte": _idx(_TEST),
        "t10k-labels-idx1-ubyte": _idx(np.array([9, 9, 1, 2], np.uint8)),
    }


def _write_cache(root: Path, folder: str = "MNIST") -> Path:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name, contents in _files().items():
        (raw / name).write_bytes(contents)
    return raw


def _forbid_download(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[str]:
    urls: list[str] = []

    def fail(url: str, *args: Any, **kwargs: Any) -> None:
        urls.append(url)
        raise error

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fail)
    return urls


def test_cached_files_are_read_without_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = _forbid_download(monkeypatch, URLError("no network"))
    _write_cache(tmp_path)
    train = load_dataset("mnist", cache_dir=tmp_path)
    assert np.array_equal(train.images[..., 0].numpy(), _TRAIN)
    assert train.labels.tolist() == [*range(10), 0, 1]
    assert train.class_names[0] == "0"
    test = load_dataset("mnist", split="test", classes="9", cache_dir=tmp_path)
    assert np.array_equal(test.images[..., 0].numpy(), _TEST[:2])
    assert urls == []


def test_fashion_classes_go_by_name_or_number(tmp_path: Path) -> None:
    _write_cache(tmp_path, "FashionMNIST")
    by_name = load_dataset("fashion_mnist", classes=["ankle boot"], cache_dir=tmp_path)
    assert by_name.class_names == {9: "Ankle boot"}
    assert load_dataset("fashion_mnist", classes="9", cache_dir=tmp_path).images.equal(
        by_name.images
    )


def test_class_without_images_in_the_split(tmp_path: Path) -> None:
    _write_cache(tmp_path)
    with pytest.raises(RequestError, match="no images of class 5"):
        load_dataset("mnist", split="test", classes="5", cache_dir=tmp_path)


@pytest.mark.parametrize(
    "error", [URLError("Name or service not known"), RuntimeError("bad\nsum"), TimeoutError("slow")]
)
def test_failed_download_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    urls = _forbid_download(monkeypatch, error)
    with pytest.raises(RequestError) as caught:
        load_dataset("mnist", cache_dir=tmp_path)
    message = str(caught.value)
    assert urls
    assert "\n" not in message
    for part in ("download of mnist failed", "--dataset digits", "FILE.npz"):
        assert part in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not list(tmp_path.glob(".download-*"))
    assert capfd.readouterr() == ("", "")


def test_download_broken_off_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(url: str, download_root: str, filename: str, **kwargs: Any) -> None:
        (Path(download_root) / filename).write_bytes(b"half")
        if "t10k" in filename:
            raise ConnectionResetError("peer went away")
        (Path(download_root) / filename.removesuffix(".gz")).write_bytes(b"half")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", half)
    with pytest.raises(RequestError, match="peer went away"):
        load_dataset("mnist", cache_dir=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_is_no_file_stays_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = _forbid_download(monkeypatch, URLError("no network"))
    images = _write_cache(tmp_path) / "train-images-idx3-ubyte"
    images.unlink()
    os.mkfifo(images)
    with pytest.raises(RequestError, match="is a pipe, not a file; move it away"):
        load_dataset("mnist", cache_dir=tmp_path)
    assert urls == []
    assert images.is_fifo()


def test_download_fills_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: tuple[str, Path]
) -> None:
    address, served = server
    resources = []
    for name, contents in _files().items():
        packed = gzip.compress(contents)
        (served / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("QHYBRID_DATA", str(tmp_path / "cache"))
    link = tmp_path / "cache" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    assert np.array_equal(load_dataset("mnist").images[..., 0].numpy(), _TRAIN)
    kept = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert kept == set(_files())
    assert link.is_symlink()


@pytest.mark.parametrize("keep", [2, 10, 500])
def test_damaged_cache_says_what_to_delete(tmp_path: Path, keep: int) -> None:
    raw = _write_cache(tmp_path)
    images = raw / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:keep])
    with pytest.raises(RequestError, match="damaged; delete"):
        load_dataset("mnist", cache_dir=tmp_path)


def test_cache_folder_defaults_to_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QHYBRID_DATA", raising=False)
    assert cache_folder(None) == Path.home() / ".cache" / "qhybrid"
