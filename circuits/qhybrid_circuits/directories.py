"""Where results are kept for other processes, and other days; imports nothing heavy."""

import os
from pathlib import Path


def cache_directory(kind: str) -> Path | None:
    """Return the folder of results of a kind, in $QHYBRID_CACHE_DIR or the user's cache folder.

    None where the user has no home folder.
    """
    chosen = os.environ.get("QHYBRID_CACHE_DIR")
    if chosen:
        return Path(chosen) / kind
    user = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        return Path(user or Path.home() / ".cache") / "qhybrid" / kind
    except RuntimeError:
        return None
