"""Files of weights that others trained: found in caches and installed packages, or downloaded."""

import hashlib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib.metadata import distributions
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from qhybrid.data.download import DOWNLOAD_TIMEOUT_S, download_timeout
from qhybrid.models.storage import read_pickled
from qhybrid_circuits.errors import RequestError


def find_file(given: Path | None, urls: Iterable[str], pattern: str) -> Path | None:
    """Return the file that is given, else one in torch's cache, else one in an installed package.

    Args:
        given: The file that the user names.
        urls: Where it would be downloaded from; the cache has it under the last part.
        pattern: What packages call it, e.g. `mobilenet_v2*.pth`.
    """
    if given is not None:
        return given
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    names = [url.rpartition("/")[2] for url in urls]
    cached = (cache / name for name in names if (cache / name).is_file())
    return next(cached, None) or next(_in_packages(pattern), None)


def _in_packages(pattern: str) -> Iterator[Path]:
    for distribution in distributions():
        for file in distribution.files or ():
            path = Path(str(distribution.locate_file(file)))
            if fnmatch(file.name, pattern) and path.is_file():
                yield path


def download(url: str) -> Path:
    """Download a file into torch's cache, whole or not at all.

    Raises:
        RequestError: It cannot be had; the message is the reason alone.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with download_timeout(DOWNLOAD_TIMEOUT_S):
            torch.hub.download_url_to_file(url, str(path), progress=False)
    except (OSError, URLError, RuntimeError) as error:
        raise RequestError(f"the download of {url} failed ({error})") from error
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a dictionary of tensors; code in the file is not run.

    Raises:
        RequestError: It is damaged or holds something else; the message is the reason alone.
    """
    try:
        held = read_pickled(path)
    except (OSError, ValueError) as error:
        raise RequestError(f"'{path}' cannot be read as weights ({error})") from error
    if not isinstance(held, dict) or not all(isinstance(v, Tensor) for v in held.values()):
        raise RequestError(f"'{path}' does not hold a dictionary of tensors")
    return held


def described(path: Path) -> str:
    """Return a file's path and the beginning of its SHA-256, by which publishers name weights."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    return f"weights {digest.hexdigest()[:8]} of {path}"
