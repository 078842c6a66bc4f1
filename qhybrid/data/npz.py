"""Arrays in the MedMNIST layout: SPLIT_images and SPLIT_labels in one npz file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qhybrid.data.catalog import Reading
from qhybrid.data.raw import RawImages, check_images, check_labels
from qhybrid.files import CORRUPT_NPZ
from qhybrid_circuits.errors import RequestError

_BEGINNINGS = (b"PK", b"\x93NUMPY")
_LAYOUT = "the MedMNIST layout is train_images, train_labels, test_images, test_labels"


def read_npz(reading: Reading) -> RawImages:
    """Read one split; a class is named by its number.

    Only the two arrays of the split are required and read. Pickled arrays are refused.

    Raises:
        RequestError: Not an npz file, damaged, a missing key, or an array that does not fit.
    """
    source, keys = reading.name, (f"{reading.split}_images", f"{reading.split}_labels")
    raw_images, raw_labels = read_arrays(Path(reading.path or source), keys, source, _LAYOUT)
    images = check_images(raw_images, f"'{keys[0]}' of {source}")
    labels = check_labels(raw_labels, len(images), f"'{keys[1]}' of {source}")
    names = {int(label): str(label) for label in np.unique(labels)}
    return RawImages(images, labels, names, source)


def read_arrays(
    path: Path, keys: tuple[str, ...], source: str, layout: str
) -> list[NDArray[np.generic]]:
    """Read arrays of an npz file by their keys; pickled ones are refused.

    Args:
        path: The file.
        keys: What to read.
        source: What messages call the file.
        layout: What the file should hold, for messages.

    Raises:
        RequestError: Not an npz file, damaged, or a missing key.
    """
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
                    f"{source} lacks {' and '.join(missing)}; it holds {held or 'nothing'}; "
                    f"{layout}"
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
