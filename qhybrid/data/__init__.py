"""Images to train on: the catalog of names (torch-free) and the loader behind all of them."""

from typing import TYPE_CHECKING

from qhybrid.data.catalog import (
    DATASETS,
    PATH_FORMS,
    DatasetInfo,
    dataset_catalog,
    resolve_dataset,
)
from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid.data.dataset import ImageDataset
    from qhybrid.data.load import load_dataset

__all__ = [
    "DATASETS",
    "PATH_FORMS",
    "DatasetInfo",
    "ImageDataset",
    "dataset_catalog",
    "load_dataset",
    "resolve_dataset",
]

__getattr__, __dir__ = lazy_exports(__name__, {"ImageDataset": ".dataset", "load_dataset": ".load"})
