"""MNIST and Fashion-MNIST by torchvision, downloaded once into a cache folder."""

import os
from pathlib import Path
from typing import Any

from qhybrid.data.catalog import Reading
from qhybrid.data.convert import as_images, as_labels
from qhybrid.data.download import cache_folder, downloading
from qhybrid.data.raw import RawImages
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.files import replaceable


def read_idx(reading: Reading) -> RawImages:
    """Read one split of "mnist" or "fashion_mnist", downloading all four files when one is missing.

    Raises:
        RequestError: The download failed, or the files in the cache are damaged or no files.
    """
    from torchvision import datasets

    name, split = reading.name, reading.split
    dataset_class = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[name]
    root = cache_folder(reading.cache_dir)
    folder = root / dataset_class.__name__ / "raw"
    if not all((folder / file).is_file() for file in _file_names(dataset_class)):
        _download(dataset_class, root, name)
    try:
        found = dataset_class(root, train=split == "train", download=False)
    # torchvision checks the header with assertions and reshapes whatever follows it.
    except (AssertionError, RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        raise RequestError(
            f"the cached files of {name} are damaged; delete {folder} to download them again"
        ) from error
    images, _ = as_images(found.data.numpy(), f"{name} ({split})")
    labels, _, _ = as_labels(found.targets.numpy(), len(images), f"the labels of {name} ({split})")
    # MNIST's "0 - zero" becomes "0".
    classes = {i: str(called).split(" - ")[0] for i, called in enumerate(dataset_class.classes)}
    return RawImages(images, labels, classes, name)


def _file_names(dataset_class: Any) -> list[str]:
    return [file.removesuffix(".gz") for file, _ in dataset_class.resources]


def _download(dataset_class: Any, root: Path, name: str) -> None:
    folder = root / dataset_class.__name__ / "raw"
    targets = {
        file: replaceable(folder / file, "move it away") for file in _file_names(dataset_class)
    }
    offline = "use --dataset digits (bundled) or --dataset FILE.npz"
    with downloading(name, root, offline) as unfinished:
        folder.mkdir(parents=True, exist_ok=True)
        dataset_class(unfinished, download=True)
        for file, target in targets.items():
            os.replace(unfinished / dataset_class.__name__ / "raw" / file, target)
