"""Downloads of data sets: once, into a cache folder that never holds half a file."""

import contextlib
import http.client
import io
import os
import socket
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from qhybrid_circuits.errors import RequestError

DOWNLOAD_TIMEOUT_S = 20.0


def cache_folder(cache_dir: str | Path | None) -> Path:
    """Return where downloads are kept: the argument, $QHYBRID_DATA, or ~/.cache/qhybrid."""
    chosen = cache_dir or os.environ.get("QHYBRID_DATA") or "~/.cache/qhybrid"
    return Path(chosen).expanduser()


@contextlib.contextmanager
def downloading(name: str, root: Path, offline: str) -> Iterator[Path]:
    """Give a folder beside the cache to download into, from which the block moves whole files.

    Args:
        name: The data set, for messages.
        root: The cache folder.
        offline: What to do without a network, for messages.

    Raises:
        RequestError: The block raised what downloads raise.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=root, prefix=".download-") as unfinished,
            download_timeout(DOWNLOAD_TIMEOUT_S),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            yield Path(unfinished)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        reason = textwrap.shorten(str(error) or type(error).__name__, width=200, placeholder=" ...")
        raise RequestError(
            f"the download of {name} failed ({reason}); without a network {offline}"
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
