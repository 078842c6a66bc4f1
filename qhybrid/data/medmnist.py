"""The 2D data sets of MedMNIST v2 at 28x28 pixels (Yang et al. 2023), downloaded once.

Addresses, checksums and classes are those that the package medmnist 3.0.2 has in its INFO.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from qhybrid.data.catalog import Reading
from qhybrid.data.convert import no_labels
from qhybrid.data.download import cache_folder, downloading
from qhybrid.data.npz import read_npz
from qhybrid.data.raw import RawImages
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.files import replaceable

RECORD = "https://zenodo.org/records/10519652"
"""Of Zenodo, where the files are published."""

FOLDER = "MedMNIST"
"""In the cache folder."""


class _File(NamedTuple):
    """What is known of a file: its MD5 and its classes; None for several labels an image."""

    md5: str
    classes: tuple[str, ...] | None


_ORGANS = (
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
)

FILES = {
    "pathmnist": _File(
        "a8b06965200029087d5bd730944a56c1",
        (
            "adipose",
            "background",
            "debris",
            "lymphocytes",
            "mucus",
            "smooth muscle",
            "normal colon mucosa",
            "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ),
    ),
    "dermamnist": _File(
        "0744692d530f8e62ec473284d019b0c7",
        (
            "actinic keratoses and intraepithelial carcinoma",
            "basal cell carcinoma",
            "benign keratosis-like lesions",
            "dermatofibroma",
            "melanoma",
            "melanocytic nevi",
            "vascular lesions",
        ),
    ),
    "octmnist": _File(
        "c68d92d5b585d8d81f7112f81e2d0842",
        ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    ),
    "pneumoniamnist": _File("28209eda62fecd6e6a2d98b1501bb15f", ("normal", "pneumonia")),
    "retinamnist": _File("bd4c0672f1bba3e3a89f0e4e876791e4", ("0", "1", "2", "3", "4")),
    "breastmnist": _File("750601b1f35ba3300ea97c75c52ff8f6", ("malignant", "normal, benign")),
    "bloodmnist": _File(
        "7053d0359d879ad8a5505303e11de1dc",
        (
            "basophil",
            "eosinophil",
            "erythroblast",
            "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
            "lymphocyte",
            "monocyte",
            "neutrophil",
            "platelet",
        ),
    ),
    "tissuemnist": _File(
        "ebe78ee8b05294063de985d821c1c34b",
        (
            "Collecting Duct, Connecting Tubule",
            "Distal Convoluted Tubule",
            "Glomerular endothelial cells",
            "Interstitial endothelial cells",
            "Leukocytes",
            "Podocytes",
            "Proximal Tubule Segments",
            "Thick Ascending Limb",
        ),
    ),
    "organamnist": _File("68e3f8846a6bd62f0c9bf841c0d9eacc", _ORGANS),
    "organcmnist": _File("b9ceb9546e10131b32923c5bbeaea2b1", _ORGANS),
    "organsmnist": _File("9ab87b696fb54e2a387ebe992d6ed5f1", _ORGANS),
    "chestmnist": _File("02c8a6516a18b556561a56cbdd36c4a8", None),
}


def read_medmnist(reading: Reading) -> RawImages:
    """Read one split of a set, downloading its file when it is missing.

    Raises:
        RequestError: The download failed, or the file in the cache is damaged or no file.
    """
    name, file = reading.name, FILES[reading.name]
    path = cache_folder(reading.cache_dir) / FOLDER / f"{name}.npz"
    if not path.is_file():
        _download(name, path)
    labelled = file.classes is not None
    found = read_npz(replace(reading, name=name, path=path), labelled=labelled)
    if file.classes is None:
        labels, classes = no_labels(len(found.images))
        note = f"{name} has several labels an image: all images are of one class, 'all'"
        return RawImages(found.images, labels, classes, name, (note,))
    if max(found.class_names) >= len(file.classes):
        raise RequestError(
            f"'{path}' has labels up to {max(found.class_names)}, but {name} has "
            f"{len(file.classes)} classes: it is another file; delete it to have it downloaded"
        )
    return replace(found, class_names=dict(enumerate(file.classes)))


def _download(name: str, path: Path) -> None:
    from torchvision.datasets.utils import download_url

    target, root = replaceable(path, "move it away"), path.parents[1]
    offline = f"put {path.name} of {RECORD} into '{path.parent}', or use --dataset digits (bundled)"
    with downloading(name, root, offline) as unfinished:
        address = f"{RECORD}/files/{path.name}?download=1"
        download_url(address, str(unfinished), path.name, FILES[name].md5)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(unfinished / path.name, target)
