import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from qhybrid.run_lock import locked
from qhybrid_circuits.errors import RequestError


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which process has a folder")
def test_who_has_a_folder_and_since_when_is_told(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil", reason="psutil tells when a process began")
    begun = datetime.fromtimestamp(psutil.Process().create_time())
    with locked(tmp_path), pytest.raises(RequestError) as told, locked(tmp_path, "sampling into"):
        pass
    who, _, rest = str(told.value).partition(", begun at ")
    assert who == f"process {os.getpid()}"
    when, _, rest = rest.partition(", ")
    assert abs(datetime.strptime(when, "%Y-%m-%d %H:%M") - begun).total_seconds() <= 61
    assert rest.startswith(f"is sampling into '{tmp_path}'; wait until it ends")


def test_a_system_that_does_not_tell_who_has_it_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def refuse(self: Path, *arguments: str, **options: str) -> str:
        if str(self).startswith("/proc/"):
            raise FileNotFoundError(self)
        return read(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    refused = pytest.raises(RequestError, match="another process is training")
    with locked(tmp_path), refused, locked(tmp_path):
        pass


def test_a_folder_is_free_when_the_process_that_had_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib, qhybrid.run_lock as lock\n"
        "with lock.locked(pathlib.Path(sys.argv[1])): print('has it', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has it\n"
        with (
            pytest.raises(RequestError, match=r"process (\d+, begun at .*, )?is training the run"),
            locked(tmp_path),
        ):
            pass
        process.kill()
    with locked(tmp_path):
        pass
