"""Arrays in one npz file, in the layout of MedMNIST or of Keras."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from qhybrid.data.catalog import Reading
from qhybrid.data.convert import as_images, as_labels, no_labels
from qhybrid.data.raw import RawImages
from qhybrid.files import reading
from qhybrid.memory import check_memory
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.files import regular

_BEGINNINGS = (b"PK", b"\x93NUMPY")
_DAMAGED = "{} cannot be read as an npz file"
_REMEDY = "it is damaged, cut short or of another format: copy or write it again with numpy.savez"
_LAYOUTS = (("{}_images", "{}_labels"), ("x_{}", "y_{}"))


def read_npz(request: Reading, *, labelled: bool = True) -> RawImages:
    """Read one split; only its arrays are required and read. Pickled arrays are refused.

    Where the labels are not wanted, `labelled` is false.

    Raises:
        RequestError: Not an npz file, damaged, without images of the split, larger than the
            memory, or an array that does not fit.
    """
    source, split = request.name, request.split
    path = Path(request.path or source)
    with reading(_DAMAGED.format(source), _REMEDY), _opened(path, source) as archive:
        names = archive.namelist()
        layouts = [tuple(key.format(split) for key in layout) for layout in _LAYOUTS]
        image_key, label_key = next(
            (keys for keys in layouts if f"{keys[0]}.npy" in names), ("", "")
        )
        if not image_key:
            raise RequestError(
                f"{source} lacks {split}_images; it holds {_held(archive)}; the MedMNIST layout is "
                "train_images, train_labels, test_images, test_labels, that of Keras x_train, "
                "y_train, x_test, y_test"
            )
        raw_images = _read_array(archive, image_key, source)
        labelled = labelled and f"{label_key}.npy" in names
        raw_labels = _read_array(archive, label_key, source) if labelled else None
    images, notes = as_images(raw_images, f"'{image_key}' of {source}")
    if raw_labels is None:
        ids, classes = no_labels(len(images))
        notes = (*notes, f"{source} has no {label_key}: all images are of one class, 'all'")
        return RawImages(images, ids, classes, source, notes)
    ids, classes, more = as_labels(raw_labels, len(images), f"'{label_key}' of {source}")
    return RawImages(images, ids, classes, source, (*notes, *more))


def read_array(path: Path, key: str, source: str, layout: str) -> NDArray[np.generic]:
    """Read one array of an npz file.

    Args:
        path: The file.
        key: The array's name.
        source: What messages call the file.
        layout: What the file should hold, for messages.

    Raises:
        RequestError: Not an npz file, damaged, without the array, or larger than the memory.
    """
    with reading(_DAMAGED.format(source), _REMEDY), _opened(path, source) as archive:
        if f"{key}.npy" not in archive.namelist():
            raise RequestError(f"{source} lacks {key}; it holds {_held(archive)}; {layout}")
        return _read_array(archive, key, source)


def _held(archive: zipfile.ZipFile) -> str:
    return ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"


@contextmanager
def _opened(path: Path, source: str) -> Iterator[zipfile.ZipFile]:
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


def _read_array(archive: zipfile.ZipFile, key: str, source: str) -> NDArray[np.generic]:
    """Read an array, if its header says that it is as long as its member and fits."""
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
