"""Data sets in one npz file, in the layout of MedMNIST or of Keras."""

from pathlib import Path

from qhybrid.arrays import DAMAGED, REMEDY, held, open_npz, read_member
from qhybrid.data.catalog import Reading
from qhybrid.data.convert import as_images, as_labels, no_labels
from qhybrid.data.raw import RawImages
from qhybrid.files import reading
from qhybrid_circuits.errors import RequestError

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
    with reading(DAMAGED.format(source), REMEDY), open_npz(path, source) as archive:
        names = archive.namelist()
        layouts = [tuple(key.format(split) for key in layout) for layout in _LAYOUTS]
        image_key, label_key = next(
            (keys for keys in layouts if f"{keys[0]}.npy" in names), ("", "")
        )
        if not image_key:
            raise RequestError(
                f"{source} lacks {split}_images; it holds {held(archive)}; the MedMNIST layout is "
                "train_images, train_labels, test_images, test_labels, that of Keras x_train, "
                "y_train, x_test, y_test"
            )
        raw_images = read_member(archive, image_key, source)
        labelled = labelled and f"{label_key}.npy" in names
        raw_labels = read_member(archive, label_key, source) if labelled else None
    images, notes = as_images(raw_images, f"'{image_key}' of {source}")
    if raw_labels is None:
        ids, classes = no_labels(len(images))
        notes = (*notes, f"{source} has no {label_key}: all images are of one class, 'all'")
        return RawImages(images, ids, classes, source, notes)
    ids, classes, more = as_labels(raw_labels, len(images), f"'{label_key}' of {source}")
    return RawImages(images, ids, classes, source, (*notes, *more))
