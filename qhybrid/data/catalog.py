"""The datasets that exist and how a request for one is read; imports nothing heavy.

The command line lists datasets and refuses misspelled names from here, before torch loads.
"""

import difflib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qhybrid.files import user_path
from qhybrid.kinds import IMAGES, STATES, Kind
from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_circuits.plugins import Registry, is_reference, row_or_function

if TYPE_CHECKING:
    from qhybrid.data.raw import RawImages


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset before it is read.

    Attributes:
        name: What `--dataset` takes.
        summary: One line on the contents.
        image_size: Native side length in pixels; None where the files decide.
        channels: 1 or 3; None where the files decide.
        num_classes: Number of classes; None where the files decide.
        offline: Whether it can be read without a network, the first time too.
        splits: The splits that exist.
        reader: Function (Reading) -> RawImages, or "module:function"; of states, complex (N, d).
        kind: What it holds.
    """

    name: str
    summary: str
    image_size: int | None
    channels: int | None
    num_classes: int | None
    offline: bool
    splits: tuple[str, ...]
    reader: "str | Callable[[Reading], RawImages]"
    kind: Kind = IMAGES

    def record(self) -> dict[str, Any]:
        """Return what listings show."""
        record = {key: value for key, value in asdict(self).items() if key != "reader"}
        return {**record, "kind": self.kind.name}


@dataclass(frozen=True)
class Reading:
    """What a reader is asked for.

    Attributes:
        name: The dataset's name, or the path as it was given; error messages use it.
        path: Where to read; None for a named dataset.
        split: One of the row's `splits`.
        image_size: Side in pixels that images are going to be resized to; None keeps their own.
        cache_dir: Where downloads are kept; None means $QHYBRID_DATA or ~/.cache/qhybrid.
        qubits: Of quantum states; None takes the data set's own.
        spread: Noise on quantum states; None takes the data set's own.
    """

    name: str
    path: Path | None
    split: str
    image_size: int | None = None
    cache_dir: str | Path | None = None
    qubits: int | None = None
    spread: float | None = None


_SPLITS = ("train", "val", "test")

_grey_classes = partial(DatasetInfo, channels=1, num_classes=10)
_downloaded = partial(_grey_classes, image_size=28, offline=False, splits=("train", "test"))
_IDX = "qhybrid.data.idx:read_idx"


def _medmnist(name: str, what: str, channels: int, classes: int) -> DatasetInfo:
    """Return the row of a set of MedMNIST, which a single file holds."""
    return DatasetInfo(
        name,
        f"{what}, downloaded on first use",
        image_size=28,
        channels=channels,
        num_classes=classes,
        offline=False,
        splits=_SPLITS,
        reader="qhybrid.data.medmnist:read_medmnist",
    )


_family = partial(
    DatasetInfo,
    image_size=None,
    channels=None,
    num_classes=None,
    offline=True,
    splits=("train", "test"),
    reader="qhybrid.data.states:read_family",
    kind=STATES,
)

_ROWS = (
    _grey_classes(
        "digits",
        "1,797 handwritten digits, bundled with scikit-learn",
        image_size=8,
        offline=True,
        splits=("train",),
        reader="qhybrid.data.digits:read_digits",
    ),
    _downloaded("mnist", "70,000 handwritten digits, downloaded on first use", reader=_IDX),
    _downloaded(
        "fashion_mnist", "70,000 pictures of clothing, downloaded on first use", reader=_IDX
    ),
    _medmnist("pathmnist", "107,180 tiles of colon tissue", 3, 9),
    _medmnist("dermamnist", "10,015 dermatoscope pictures of skin lesions", 3, 7),
    _medmnist("octmnist", "109,309 retinal OCT scans", 1, 4),
    _medmnist("pneumoniamnist", "5,856 chest X-rays of children", 1, 2),
    _medmnist("retinamnist", "1,600 retina photographs, five grades of retinopathy", 3, 5),
    _medmnist("breastmnist", "780 ultrasound scans of breasts", 1, 2),
    _medmnist("bloodmnist", "17,092 microscope pictures of blood cells", 3, 8),
    _medmnist("tissuemnist", "236,386 microscope pictures of kidney cells", 1, 8),
    _medmnist("organamnist", "58,830 axial CT slices of organs", 1, 11),
    _medmnist("organcmnist", "23,583 coronal CT slices of organs", 1, 11),
    _medmnist("organsmnist", "25,211 sagittal CT slices of organs", 1, 11),
    _medmnist("chestmnist", "112,120 chest X-rays, without their 14 kinds of findings", 1, 1),
    _family("states:cluster", "quantum states near a random one"),
    _family("states:circle", "quantum states cos(a) |0...0> + sin(a) |1...1>"),
    _family("states:ising", "ground states of an Ising chain in transverse fields"),
)


def _of_reader(name: str, summary: str, reader: "Callable[[Reading], RawImages]") -> DatasetInfo:
    return DatasetInfo(name, summary, None, None, None, True, ("train",), reader)


DATASETS: Registry[DatasetInfo] = Registry(
    "dataset",
    _ROWS,
    group="qhybrid.datasets",
    adapt=row_or_function("dataset", DatasetInfo, "(Reading) -> RawImages", _of_reader),
)
"""Dataset name -> row; those of installed packages last."""

_on_disk = partial(DatasetInfo, image_size=None, channels=None, num_classes=None, offline=True)

PATH_FORMS: tuple[DatasetInfo, ...] = (
    _on_disk(
        "FILE.npz",
        "arrays in the layout of MedMNIST (train_images, train_labels, test_images, ...) or Keras",
        splits=("train", "val", "test"),
        reader="qhybrid.data.npz:read_npz",
    ),
    _on_disk(
        "FOLDER",
        "image files, one subfolder per class where there are classes",
        splits=("train",),
        reader="qhybrid.data.folder:read_folder",
    ),
    _on_disk(
        "states:FILE.npz",
        "quantum states, complex (N, 2**n) under states, others under test_states",
        splits=("train", "test"),
        reader="qhybrid.data.states:read_file",
        kind=STATES,
    ),
)

_OF_STATES = "states:"
"""What the names of data sets of quantum states begin with."""


def absolute_name(name: str) -> str:
    """Return the name of what is on disk so that it means the same in every folder."""
    prefix = _OF_STATES if name.startswith(_OF_STATES) else ""
    return prefix + str(Path(os.path.expanduser(name.removeprefix(prefix))).absolute())


def subfolders(path: Path, source: str) -> list[str]:
    """Return the names of the subfolders, without the hidden ones that systems and editors leave.

    Raises:
        RequestError: The folder cannot be read.
    """
    try:
        entries = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    except OSError as error:
        raise RequestError(
            f"folder '{source}' cannot be read: {error.strerror}; check its permissions"
        ) from error
    return [name for name in entries if not name.startswith((".", "__MACOSX"))]


def split_folders(path: Path, source: str) -> tuple[str, ...]:
    """Return the splits of a folder that holds nothing but splits; of another one, none."""
    found = subfolders(path, source)
    splits = tuple(split for split in _SPLITS if split in found)
    return splits if len(splits) == len(found) else ()


def _folder_form(path: Path, source: str) -> DatasetInfo:
    """Return the row of a folder; one that holds nothing but splits has these."""
    splits = split_folders(path, source)
    return replace(PATH_FORMS[1], splits=splits) if splits else PATH_FORMS[1]


def dataset_catalog() -> tuple[DatasetInfo, ...]:
    """List everything that `--dataset` takes: the names, then the path forms."""
    return (*DATASETS.values(), *PATH_FORMS)


@dataclass(frozen=True)
class DatasetSource:
    """A request that names something that exists.

    Attributes:
        name: The dataset's name, or the path as it was given; error messages use it.
        path: Where to read; None for a named dataset.
        info: The dataset's entry in the catalog.
    """

    name: str
    path: Path | None
    info: DatasetInfo


def resolve_dataset(name_or_path: str | Path) -> DatasetSource:
    """Decide whether a request is a name, a file or a folder; a name wins over a like-named folder.

    Raises:
        UnknownNameError: Neither a dataset nor anything on disk has that name.
        RequestError: It is a path, but there is nothing there or not an npz file.
    """
    name = os.fspath(name_or_path)
    if name in DATASETS:
        return DatasetSource(name, None, DATASETS[name])
    if name.startswith(_OF_STATES):
        return _file_of_states(name)
    path = user_path(name)
    if name and path.is_dir():
        return DatasetSource(name, path, _folder_form(path, name))
    if path.is_file():
        if path.suffix.lower() != ".npz":
            raise RequestError(
                f"dataset file '{name}' must end in .npz (MedMNIST layout); convert it, or give a "
                "folder with one subfolder of images per class"
            )
        return DatasetSource(name, path, PATH_FORMS[0])
    if path.suffix.lower() == ".npz" or "/" in name or os.sep in name:
        near = difflib.get_close_matches(path.name, _beside(path), n=1)
        guess = f"did you mean {path.parent / near[0]}?" if near else "check the path"
        raise RequestError(f"dataset '{name}' does not exist: no such file or folder; {guess}")
    if is_reference(name):
        return DatasetSource(name, None, DATASETS.find(name))
    hint = "or give FILE.npz (MedMNIST layout) or a FOLDER with one subfolder of images per class"
    raise UnknownNameError("dataset", name, DATASETS, hint, _beside(path))


def _beside(path: Path) -> list[str]:
    """Return the names that stand beside a path and could be data sets."""
    try:
        return [each.name for each in path.parent.iterdir() if _may_be_data(each)]
    except OSError:
        return []


def _may_be_data(path: Path) -> bool:
    return path.suffix.lower() == ".npz" or path.is_dir()


def dataset_kind(name: str) -> Kind:
    """Return what a data set holds; one that is not there any more is what its name says."""
    try:
        return resolve_dataset(name).info.kind
    except RequestError:
        return STATES if name.startswith(_OF_STATES) else IMAGES


def _file_of_states(name: str) -> DatasetSource:
    path = user_path(name.removeprefix(_OF_STATES))
    if path.suffix.lower() != ".npz":
        known = [row.name for row in DATASETS.values() if row.kind is STATES]
        raise UnknownNameError("dataset of states", name, known, "or give states:FILE.npz")
    if not path.is_file():
        raise RequestError(f"dataset '{name}' does not exist: no such file; check the path")
    return DatasetSource(name, path, PATH_FORMS[2])


def check_split(source: DatasetSource, split: str) -> None:
    """Refuse a split that a data set does not have.

    Raises:
        UnknownNameError: There are other splits.
        RequestError: There is one, that of training.
    """
    if split in source.info.splits:
        return
    if source.info.splits == ("train",):
        where = "" if source.path is None else "; give the folder of those images itself"
        raise RequestError(
            f"dataset '{source.name}' has no '{split}' split; all its images are 'train'{where}"
        )
    raise UnknownNameError("split", split, source.info.splits)
