"""Arrays in npz files, by name; what a file declares is compared with what it holds."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from qhybrid.files import reading
from qhybrid.memory import check_memory
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.files import regular

_BEGINNINGS = (b"PK", b"\x93NUMPY")
DAMAGED = "{} cannot be read as an npz file"
REMEDY = "it is damaged, cut short or of another format: copy or write it again with numpy.savez"


def read_array(
    path: Path, key: str, source: str, layout: str, remedy: str = REMEDY
) -> NDArray[np.generic]:
    """Read one array of an npz file.

    Args:
        path: The file.
        key: The array's name.
        source: What messages call the file.
        layout: What the file should hold, for messages.
        remedy: What to do with a file that is damaged.

    Raises:
        RequestError: Not an npz file, damaged, without the array, or larger than the memory.
    """
    with reading(DAMAGED.format(source), remedy), open_npz(path, source) as archive:
        if f"{key}.npy" not in archive.namelist():
            raise RequestError(f"{source} lacks {key}; it holds {held(archive)}; {layout}")
        return read_member(archive, key, source)


def held(archive: zipfile.ZipFile) -> str:
    """Return the names of the arrays, for messages."""
    return ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"


@contextmanager
def open_npz(path: Path, source: str) -> Iterator[zipfile.ZipFile]:
    """Open a file that begins as an npz file does; `source` is what messages call it."""
    with regular(path).open("rb") as file:
        beginning = file.read(6)
        if not beginning.startswith(_BEGINNINGS):
            raise ValueError("it does not begin like one")
        if beginning == _BEGINNINGS[1]:
            raise RequestError(
                f"{source} is not an npz archive but a single array; use numpy.savez"
            )
        with zipfile.ZipFile(file) as archive:
            yield archive


def read_member(archive: zipfile.ZipFile, key: str, source: str) -> NDArray[np.generic]:
    """Read an array, if its header says that it is as long as its member and fits.

    Raises:
        RequestError: It does not fit into the memory.
        ValueError: It is not as long as its header says, or of objects.
    """
    with archive.open(f"{key}.npy") as member:
        magic = member.read(npy.MAGIC_LEN)
        if not magic.startswith(npy.MAGIC_PREFIX):
            raise RequestError(f"'{key}' of {source} is not a numpy array; use numpy.savez")
        read_header = npy.read_array_header_1_0 if magic[6] == 1 else npy.read_array_header_2_0
        shape, _, dtype = read_header(member)
        size = prod(shape) * dtype.itemsize
        # The array, what it is converted in, and the bytes for the models.
        check_memory(
            size + prod(shape) * (2 if dtype.itemsize == 1 else 10),
            f"'{key}' of {source}, {shape} of {dtype},",
            "put fewer images into it",
        )
        if min(shape, default=0) < 0 or (
            not dtype.hasobject and member.tell() + size != _length(archive, key)
        ):
            raise ValueError(f"'{key}' is not as long as its header says")
    with archive.open(f"{key}.npy") as member:
        array: NDArray[np.generic] = npy.read_array(member, allow_pickle=False)
    return array


def _length(archive: zipfile.ZipFile, key: str) -> int:
    return archive.getinfo(f"{key}.npy").file_size
