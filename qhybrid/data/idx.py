"""MNIST and Fashion-MNIST by torchvision, downloaded once into a cache folder."""

import contextlib
import http.client
import io
import os
import socket
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qhybrid.data.catalog import Reading
from qhybrid.data.convert import as_images, as_labels
from qhybrid.data.raw import RawImages
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.files import replaceable

DOWNLOAD_TIMEOUT_S = 20.0


def cache_folder(cache_dir: str | Path | None) -> Path:
    """Return where downloads are kept: the argument, $QHYBRID_DATA, or ~/.cache/qhybrid."""
    chosen = cache_dir or os.environ.get("QHYBRID_DATA") or "~/.cache/qhybrid"
    return Path(chosen).expanduser()


def read_idx(reading: Reading) -> RawImages:
    """Read one split of "mnist" or "fashion_mnist", downloading all four files when one is missing.

    Raises:
        RequestError: The download failed, or the files in the cache are damaged or no files.
    """
    from torchvision import datasets

    name, split = reading.name, reading.split
    dataset_class = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[name]
    root = cache_folder(reading.cache_dir)
    folder = root / dataset_class.__name__ / "raw"
    if not all((folder / file).is_file() for file in _file_names(dataset_class)):
        _download(dataset_class, root, name)
    try:
        found = dataset_class(root, train=split == "train", download=False)
    # torchvision checks the header with assertions and reshapes whatever follows it.
    except (AssertionError, RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        raise RequestError(
            f"the cached files of {name} are damaged; delete {folder} to download them again"
        ) from error
    images, _ = as_images(found.data.numpy(), f"{name} ({split})")
    labels, _, _ = as_labels(found.targets.numpy(), len(images), f"the labels of {name} ({split})")
    # MNIST's "0 - zero" becomes "0".
    classes = {i: str(called).split(" - ")[0] for i, called in enumerate(dataset_class.classes)}
    return RawImages(images, labels, classes, name)


def _file_names(dataset_class: Any) -> list[str]:
    return [file.removesuffix(".gz") for file, _ in dataset_class.resources]


def _download(dataset_class: Any, root: Path, name: str) -> None:
    """Download beside the cache and move complete files in: the cache never holds half a file."""
    folder = root / dataset_class.__name__ / "raw"
    targets = {
        file: replaceable(folder / file, "move it away") for file in _file_names(dataset_class)
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=root, prefix=".download-") as unfinished,
            download_timeout(DOWNLOAD_TIMEOUT_S),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            dataset_class(unfinished, download=True)
            for file, target in targets.items():
                os.replace(Path(unfinished) / dataset_class.__name__ / "raw" / file, target)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        reason = textwrap.shorten(str(error) or type(error).__name__, width=200, placeholder=" ...")
        raise RequestError(
            f"the download of {name} failed ({reason}); without a network use --dataset digits "
            "(bundled) or --dataset FILE.npz"
        ) from error


@contextlib.contextmanager
def download_timeout(seconds: float) -> Iterator[None]:
    """Bound every connection: torchvision passes no timeout, and a dead network would hang."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
