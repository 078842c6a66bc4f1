"""scikit-learn's handwritten digits: real 8x8 images that need no network."""

import numpy as np

from qhybrid.data.catalog import Reading
from qhybrid.data.raw import RawImages

INK_LEVELS = 16


def read_digits(_: Reading) -> RawImages:
    """Read all 1,797 images; their ink levels 0..16 are spread over 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / INK_LEVELS)).astype(np.uint8)[..., np.newaxis]
    names = {digit: str(digit) for digit in range(10)}
    return RawImages(images, bunch.target.astype(np.int64), names, "digits")
