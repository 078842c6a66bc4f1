"""One function for every dataset: read, choose classes, fit the size."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from qhybrid.data.catalog import Reading, check_split, resolve_dataset
from qhybrid.data.classes import select_classes
from qhybrid.data.dataset import ImageDataset
from qhybrid.data.raw import RawImages
from qhybrid.data.sizes import check_image_size, fit_image_size, fitting_side, resizing_note
from qhybrid.kinds import IMAGES
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.plugins import load_reference

LIMIT_SEED = 0
"""Of the part of a data set that `limit` keeps: runs of any seed train on the same images."""


def load_dataset(
    name_or_path: str | Path,
    *,
    classes: str | Sequence[str | int] | None = None,
    image_size: int | None = None,
    split: str = "train",
    channels: int | None = None,
    cache_dir: str | Path | None = None,
    limit: int | None = None,
) -> ImageDataset:
    """Load images to train on or to compare with.

    Args:
        name_or_path: A key of `DATASETS`, an npz file in the layout of MedMNIST or Keras, or a
            folder of images, of one subfolder of images per class, or of such folders as splits.
        classes: Names or numbers of the classes to keep; None keeps all. Labels keep their ids.
        image_size: Side length in pixels to resize to; None keeps the native size, or takes the
            largest that models take where the native one is larger.
        split: "train" or "test"; a file or folder may also have "val".
        channels: 3 makes RGB of grey images; None keeps what they are.
        cache_dir: Where downloads are kept; None means $QHYBRID_DATA or ~/.cache/qhybrid.
        limit: Images to keep at most, of those classes: a random part, the same every time, of
            which a larger limit keeps all; None keeps all images.

    Raises:
        UnknownNameError: No such dataset, class or split.
        RequestError: The data cannot be read, or does not fit what the models take.

    Example:
        >>> import qhybrid
        >>> digits = qhybrid.load_dataset("digits", classes=[0, 1])
        >>> digits.tensor().shape[1:], len(digits.notes)
        (torch.Size([1, 8, 8]), 0)
    """
    source = resolve_dataset(name_or_path)
    check_image_size(image_size)
    if limit is not None and limit < 1:
        raise RequestError(f"limit must be at least 1, but is {limit}; leave it out for all images")
    if source.info.kind is not IMAGES:
        raise RequestError(
            f"'{source.name}' holds {source.info.kind.name}, but images are wanted; choose another "
            "--dataset, see `qhybrid datasets`"
        )
    check_split(source, split)
    read = load_reference(source.info.reader)
    raw = read(Reading(source.name, source.path, split, image_size, cache_dir))
    if not isinstance(raw, RawImages):
        raise RequestError(
            f"the reader of dataset '{source.name}' returned a {type(raw).__name__}, but must "
            "return qhybrid.data.raw.RawImages"
        )
    if classes is not None:
        kept = select_classes(classes, raw.class_names)
        mask, names = np.isin(raw.labels, kept), {label: raw.class_names[label] for label in kept}
        if not mask.any():
            raise RequestError(
                f"{raw.source} has no images of class {', '.join(names.values())}; choose other "
                "classes"
            )
        raw = replace(raw, images=raw.images[mask], labels=raw.labels[mask], class_names=names)
    if limit is not None and limit < len(raw.images):
        part = np.sort(np.random.default_rng(LIMIT_SEED).permutation(len(raw.images))[:limit])
        raw = replace(raw, images=raw.images[part], labels=raw.labels[part])
    height, width = raw.images.shape[1:3]
    side = fitting_side(height, width, image_size, raw.source)
    images = fit_image_size(raw.images, side, raw.source)
    if channels == 3:
        images = np.broadcast_to(images, (*images.shape[:3], 3))
    note = "" if image_size else resizing_note(height, side)
    notes = (*raw.notes, f"{raw.source}: {note}") if note else raw.notes
    # A copy: arrays mapped from files may be read-only, which tensors cannot express.
    tensors = torch.tensor(images), torch.tensor(raw.labels)
    return ImageDataset(*tensors, class_names=raw.class_names, source=raw.source, notes=notes)
