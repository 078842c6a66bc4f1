"""What the files of a folder say, without the times at which they were written."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

TIMES = frozenset(
    {
        "seconds",
        "steps_per_second",
        "images_per_second",
        "started",
        "created",
        "finished",
        "checksum",
    }
)
"""Columns and keys that differ between runs that are equal."""

APART = re.compile(r"(^|/)(environment(-\d+)?\.json|tensorboard/)")
"""What says of each session when and where it was: not compared."""


def contents(folder: Path) -> dict[str, str]:
    """Return the path of each file and a digest of what it says."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    compared = {name: path for name, path in names.items() if not APART.search(name)}
    # What a killed process began to write can be of no form.
    return {n: "" if ".part" in path.name else _digest(path) for n, path in compared.items()}


def _digest(path: Path) -> str:
    try:
        return _digest_of_whole(path)
    except Exception as error:
        return f"cannot be read: {error!r}"


def repeated_steps(folder: Path) -> list[str]:
    """Return the rows of metrics.csv that are there more than once."""
    seen: list[str] = []
    for path in folder.rglob("metrics.csv"):
        with path.open(newline="") as file:
            keys = [
                f"{path.name}: step {row['step']}, {row['loss']}" for row in csv.DictReader(file)
            ]
        seen += [key for key in set(keys) if keys.count(key) > 1]
    return seen


def _digest_of_whole(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(content.decode()))
        content = repr([{k: v for k, v in row.items() if k not in TIMES} for row in rows]).encode()
    elif path.suffix == ".ckpt":
        # The same values can be pickled in several ways.
        digest = hashlib.sha256()
        for leaf in _leaves(torch.load(io.BytesIO(content), weights_only=True)):
            digest.update(b"%d " % len(leaf) + leaf)
        return digest.hexdigest()
    elif path.suffix == ".json":
        content = json.dumps(_timeless(json.loads(content))).encode()
    return hashlib.sha256(content).hexdigest()


def _leaves(value: Any) -> Iterator[bytes]:
    """Yield what a checkpoint holds, tensors as their bytes."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key not in TIMES:
                yield repr(key).encode()
                yield from _leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        tensor = isinstance(value, torch.Tensor)
        yield value.numpy().tobytes() if tensor else repr(value).encode()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
