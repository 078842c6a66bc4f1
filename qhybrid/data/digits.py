"""scikit-learn's handwritten digits: real 8x8 images that need no network."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from qhybrid.data.catalog import Reading
from qhybrid.data.raw import RawImages

INK_LEVELS = 16


def read_digits(_: Reading) -> RawImages:
    """Read all 1,797 images; their ink levels 0..16 are spread over 0..255."""
    table = _table()
    images = np.rint(table[:, :-1].reshape(-1, 8, 8, 1) * (255 / INK_LEVELS)).astype(np.uint8)
    names = {digit: str(digit) for digit in range(10)}
    return RawImages(images, table[:, -1].astype(np.int64), names, "digits")


def _table() -> np.ndarray:
    """Return a row of 64 ink levels and the label of each image.

    They are read from scikit-learn's file: to import it, and scipy.stats with it, takes a second.
    """
    package = find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])
