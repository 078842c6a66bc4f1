import numpy as np

from qhybrid.data.catalog import DatasetInfo, Reading
from qhybrid.data.raw import RawImages


def read(reading: Reading) -> RawImages:
    """Return 8x8 images of one bright row or column."""
    images = np.zeros((16, 8, 8, 1), dtype=np.uint8)
    for index in range(8):
        images[index, index] = images[8 + index, :, index] = 255
    labels = np.repeat([0, 1], 8).astype(np.int64)
    return RawImages(images, labels, {0: "row", 1: "column"}, "stripes")


ROW = DatasetInfo("stripes", "8x8 images of one bright line", 8, 1, 2, True, ("train",), read)
