"""Arrays in the MedMNIST layout: SPLIT_images and SPLIT_labels in one npz file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qhybrid.data.catalog import Reading
from qhybrid.data.raw import RawImages, check_images, check_labels
from qhybrid.files import CORRUPT_NPZ
from qhybrid_circuits.errors import RequestError

_BEGINNINGS = (b"PK", b"\x93NUMPY")


def read_npz(reading: Reading) -> RawImages:
    """Read one split; a class is named by its number.

    Only the two arrays of the split are required and read. Pickled arrays are refused.

    Raises:
        RequestError: Not an npz file, damaged, a missing key, or an array that does not fit.
    """
    source, keys = reading.name, (f"{reading.split}_images", f"{reading.split}_labels")
    raw_images, raw_labels = _read_arrays(Path(reading.path or source), keys, source)
    images = check_images(raw_images, f"'{keys[0]}' of {source}")
    labels = check_labels(raw_labels, len(images), f"'{keys[1]}' of {source}")
    names = {int(label): str(label) for label in np.unique(labels)}
    return RawImages(images, labels, names, source)


def _read_arrays(path: Path, keys: tuple[str, str], source: str) -> list[NDArray[np.generic]]:
    try:
        with path.open("rb") as file:
            # numpy would take other files for pickles and recommend that.
            if not file.read(6).startswith(_BEGINNINGS):
                raise ValueError("it does not begin like one")
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise RequestError(
                f"{source} is not an npz archive but a single array; use numpy.savez"
            )
        with archive:
            missing, held = [key for key in keys if key not in archive], ", ".join(archive.files)
            if missing:
                raise RequestError(
                    f"{source} lacks {' and '.join(missing)}; it holds {held or 'nothing'}; the "
                    "MedMNIST layout is train_images, train_labels, test_images, test_labels"
                )
            arrays = [archive[key] for key in keys]
    except RequestError:
        raise
    except MemoryError as error:
        raise RequestError(
            f"{source} does not fit into the memory ({error}); put fewer images into it"
        ) from error
    except CORRUPT_NPZ as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RequestError(
            f"{source} cannot be read as an npz file ({reason}); it is damaged, cut short or of "
            "another format: copy or write it again with numpy.savez"
        ) from error
    for key, array in zip(keys, arrays, strict=True):
        if not isinstance(array, np.ndarray):  # numpy hands out members that are not .npy as bytes
            raise RequestError(f"'{key}' of {source} is not a numpy array; use numpy.savez")
    return arrays
