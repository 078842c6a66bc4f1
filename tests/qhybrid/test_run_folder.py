import os
from pathlib import Path

import pytest

from qhybrid.files import replacing, write_text
from qhybrid.run_folder import Run, check_free, claim_folder, claim_next, newest_folder, open_run
from qhybrid.run_lock import locked, occupied
from qhybrid.settings.config import Config
from qhybrid.settings.sections import DataSection
from qhybrid.settings.sources import save_config
from qhybrid_circuits.errors import RequestError


def make_run(folder: Path) -> Run:
    run = Run(folder)
    save_config(Config(), run.config_file)
    return run


def test_the_next_free_number_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "unet-digits-9").mkdir()
    (tmp_path / "unet-digits-x").mkdir()
    assert claim_next(tmp_path, "unet-digits") == tmp_path / "unet-digits-10"
    assert claim_next(tmp_path, "unet-digits") == tmp_path / "unet-digits-11"
    assert claim_next(tmp_path, "unet") == tmp_path / "unet-1"


def test_names_of_files_become_safe_folder_names(tmp_path: Path) -> None:
    assert claim_next(tmp_path, "unet-my data/é").name == "unet-my-data-1"


@pytest.mark.parametrize("present", ["config.toml", "notes.txt"])
def test_a_folder_with_something_in_it_is_not_written_to(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("kept")
    with pytest.raises(RequestError, match="--out"):
        claim_folder(tmp_path)
    assert (tmp_path / present).read_text() == "kept"


def test_an_empty_folder_and_a_new_one_are_free(tmp_path: Path) -> None:
    check_free(tmp_path)
    assert claim_folder(tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="is a file"):
        claim_folder(tmp_path / "file")
    with pytest.raises(RequestError, match="cannot create"):
        claim_folder(tmp_path / "file" / "below")


def test_what_is_not_a_run_says_what_is_missing_and_guesses(tmp_path: Path) -> None:
    make_run(tmp_path / "unet-digits-1")
    with pytest.raises(RequestError, match=r"no folder .*did you mean .*unet-digits-1\?.*train"):
        open_run(tmp_path / "unet-digit-1")
    with pytest.raises(RequestError, match=r"no config\.toml"):
        open_run(tmp_path)
    with pytest.raises(RequestError, match="is a file"):
        open_run(tmp_path / "unet-digits-1" / "config.toml")


def test_the_newest_run_is_the_one_saved_last(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    os.utime(first.config_file, (1, 1))
    os.utime(second.config_file, (2, 2))
    assert newest_folder(tmp_path) == second.folder
    write_text(first.checkpoint(5), "")
    assert newest_folder(tmp_path) == first.folder
    with pytest.raises(RequestError, match="no run"):
        newest_folder(tmp_path / "a")


def test_checkpoints_are_ordered_by_step(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert run.newest_checkpoint() is None
    assert run.newest_step() == 0
    for step in (12_345_678, 9_999_999, 3):
        write_text(run.checkpoint(step), "")
    assert run.newest_step() == 12_345_678


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert claim_folder(Path("~/new")) == tmp_path / "new"
    assert open_run(make_run(tmp_path / "a").folder) == open_run(Path("~/a"))
    with pytest.raises(RequestError, match="unknown user"):
        open_run(Path("~no-such-user/a"))


def test_a_folder_called_config_toml_makes_no_run(tmp_path: Path) -> None:
    (tmp_path / "a" / "config.toml").mkdir(parents=True)
    with pytest.raises(RequestError, match="no run in"):
        newest_folder(tmp_path)
    with pytest.raises(RequestError, match=r"no config\.toml; `qhybrid train`"):
        open_run(tmp_path / "a")


def test_text_that_is_not_utf_8_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    config = Config.model_construct(data=DataSection.model_construct(dataset="/\udcff"))
    with pytest.raises(RequestError, match=r"cannot name .*/\\udcff'; rename that file or folder"):
        save_config(config, tmp_path / "config.toml")
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_folder_is_cleared_of_what_a_killed_process_began_to_write(
    tmp_path: Path,
) -> None:
    run, inner = make_run(tmp_path / "run"), make_run(tmp_path / "run" / "seed-0")
    run.checkpoints.mkdir()
    for folder in (run.folder, run.checkpoints, inner.folder):
        (folder / ".0123abcd.part.ckpt").write_text("half")
    for kept in (".hidden", "note.part.txt"):
        (run.folder / kept).write_text("a user's own")
    with occupied(None, "training the run", root=tmp_path, stem="run", resumed=run.folder):
        pass
    # The other run's own process may be writing there.
    assert [path.parent for path in run.folder.rglob(".*.part.*")] == [inner.folder]
    assert {".hidden", "note.part.txt"} <= {path.name for path in run.folder.iterdir()}


def test_what_a_killed_process_left_empty_is_taken_first(tmp_path: Path) -> None:
    left = claim_next(tmp_path, "ddim")
    (left / ".abcdefgh.part").write_text("{")

    def taken() -> str:
        with occupied(None, "sampling into", root=tmp_path, stem="ddim") as folder:
            (folder / "plan.json").write_text("")
            return folder.name

    with locked(left):  # it is at work still
        assert taken() == "ddim-2"
    assert taken() == "ddim-3"
    (tmp_path / "ddim-4").mkdir()
    assert taken() == "ddim-4"
