import subprocess
import sys
from pathlib import Path

import pytest

from qhybrid.data import medmnist
from qhybrid.data.catalog import DATASETS, dataset_catalog, resolve_dataset
from qhybrid_circuits.errors import RequestError, UnknownNameError


def test_catalog_lists_names_and_path_forms() -> None:
    names = [info.name for info in dataset_catalog()]
    downloaded = ["mnist", "fashion_mnist", *medmnist.FILES]
    states = ["states:cluster", "states:circle", "states:ising"]
    assert names == ["digits", *downloaded, *states, "FILE.npz", "FOLDER", "states:FILE.npz"]
    assert [info.name for info in dataset_catalog() if not info.offline] == downloaded


def test_names_and_errors_need_no_heavy_import() -> None:
    code = (
        "import sys; from qhybrid.data.catalog import dataset_catalog, resolve_dataset\n"
        "dataset_catalog()\n"
        "try: resolve_dataset('digts')\n"
        "except ValueError: pass\n"
        "from qhybrid.diffusion.samplers import SAMPLERS\n"
        "from qhybrid.diffusion.specs import EmaSpec, ScheduleSpec; ScheduleSpec()\n"
        "heavy = {'torch', 'torchvision', 'diffusers', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_misspelled_name_gets_the_nearest_and_the_path_forms() -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve_dataset("fashion-mnist")
    message = str(caught.value)
    assert "did you mean fashion_mnist" in message
    for part in (*DATASETS, "FILE.npz", "FOLDER"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["nothing.npz", "no/such/folder"])
def test_missing_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file or folder"):
        resolve_dataset(tmp_path / name)


def test_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "images.tar").write_bytes(b"x")
    with pytest.raises(RequestError, match=r"must end in \.npz"):
        resolve_dataset(tmp_path / "images.tar")


def test_a_name_wins_over_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_dataset("digits").path is None
    assert resolve_dataset("./digits").path is not None


def test_empty_name_is_unknown() -> None:
    with pytest.raises(UnknownNameError):
        resolve_dataset("")


def test_a_misspelt_folder_or_file_is_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos.txt").touch()
    (tmp_path / "lines.npz").touch()
    for asked, meant in [("photo", "photos"), ("./photo", "photos"), ("line.npz", "lines.npz")]:
        with pytest.raises(RequestError, match=rf"did you mean [^ ]*{meant}\?"):
            resolve_dataset(asked)
