"""The token of an account is nowhere but where the client has it."""

import logging
import traceback
from pathlib import Path

import pytest

from qhybrid.cli.main import main
from qhybrid.run_folder import Run
from qhybrid_circuits.errors import QHybridError
from qhybrid_runtime.hardware import accounts, service_client
from qhybrid_runtime.loopback.faults import Fault
from qhybrid_runtime.loopback.server import LoopbackService


def test_a_token_is_in_no_output_file_traceback_or_list_of_processes(
    run: Run,
    service: LoopbackService,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Images are drawn, each kind of refusal is met, and it is looked for in all that is left."""
    monkeypatch.setattr(service_client, "_LONGEST_OUTAGE_SECONDS", 0.1)
    caplog.set_level(logging.DEBUG)
    command = ["sample", str(run.folder), "--backend", "ibm_manila", "--num-images", "1"]
    command += ["--steps", "1", "--shots", "8", "--out"]
    assert main([*command, str(tmp_path / "drawn")]) == 0
    # The access tokens that the client got for it are as secret.
    secrets = [service.account.token, *service.account._valid]
    assert len(secrets) > 1
    told = []
    for number, path in enumerate(("/iam/", "/jobs$", "/results$", "/backends")):
        service.faults.set([Fault(401, path, times=99)])
        accounts.open_service.cache_clear()
        with pytest.raises(QHybridError) as refused:
            main([*command, str(tmp_path / str(number)), "--debug"])
        told += traceback.format_exception(refused.value)
        assert main([*command, str(tmp_path / f"again-{number}")]) in (1, 2)
    told += [*capfd.readouterr(), Path("/proc/self/cmdline").read_text()]
    told += [record.getMessage() for record in caplog.records if "qhybrid" in record.name]
    files = (path for path in tmp_path.rglob("*") if path.is_file())
    contents = [*map(Path.read_bytes, files), *map(str.encode, told)]
    assert len(contents) > 10
    for secret in secrets:
        assert not any(secret.encode() in content for content in contents)
