import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from qhybrid_circuits.disk_cache import LoweringCache
from qhybrid_circuits.errors import FileKindError, WriteError
from qhybrid_circuits.files import regular, replaceable, replacing


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)  # a socket's path must be short
        listener.bind(path.name)


KINDS: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a socket": bound,
    "a device": lambda path: path.symlink_to(os.devnull),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_files_are_read_and_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "there"
    KINDS[kind](path)
    before = path.lstat()
    with pytest.raises(FileKindError, match=f"'{path}' is {kind}, not a file"):
        regular(path)
    with pytest.raises(FileKindError, match=f"is {kind}, not a file; rest"):
        replaceable(path, "rest")
    with pytest.raises(FileKindError), replacing(path) as temporary:
        temporary.touch()
    assert os.path.samestat(path.lstat(), before)
    assert os.listdir(tmp_path) == ["there"]
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.parametrize("target", ["old.txt", "new.txt"])
def test_a_link_is_followed_and_stays(tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "old.txt").write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to(Path("elsewhere", target))
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.readlink() == Path("elsewhere", target)
    assert (tmp_path / "elsewhere" / target).read_text() == "new"
    assert set(os.listdir(tmp_path / "elsewhere")) == {"old.txt", target}


def test_a_link_in_a_circle_stays(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("link")
    with pytest.raises(FileKindError, match="cannot be reached"), replacing(link):
        pass
    assert link.is_symlink()


def test_a_file_that_is_standard_output_is_not_replaced(tmp_path: Path) -> None:
    script = """
from pathlib import Path
from qhybrid_circuits.files import replaceable
print("kept")
try:
    replaceable(Path("/dev/stdout"))
except ValueError as error:
    print(error)
"""
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True, timeout=60)
    lines = (tmp_path / "out").read_text().splitlines()
    assert lines[0] == "kept"
    assert "'/dev/stdout' is a standard stream" in lines[1]


def test_a_full_disk_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, files_of_at_most: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    message = rf"cannot write '{path}': File too large"
    with files_of_at_most(100), pytest.raises(WriteError, match=message), replacing(path) as part:
        part.write_text("x" * 1000)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_cached_file_with_a_flipped_bit_is_missing(tmp_path: Path) -> None:
    cache, content = LoweringCache(tmp_path), b'{"angle": 1.5}\n'
    cache.write("a.json", content)
    assert cache.read("a.json") == content
    path = tmp_path / "a.json"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert cache.read("a.json") is None
    path.unlink()
    os.mkfifo(path)
    assert cache.read("a.json") is None
    cache.write("a.json", content)
    assert path.is_fifo()
