from collections.abc import Iterator
from pathlib import Path

import pytest

from qhybrid.report.build import Report, build_report
from qhybrid.report.request import ReportRequest


@pytest.fixture(scope="session")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cache(_folder: Path) -> Iterator[Path]:
    """A cache folder that only these tests have, and no account."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QHYBRID_CACHE_DIR", str(_folder))
        patch.setenv("HOME", str(_folder))
        patch.delenv("QISKIT_IBM_TOKEN", raising=False)
        yield _folder


@pytest.fixture(scope="module")
def model_report(cache: Path) -> Report:
    return build_report(ReportRequest("1hqconv-qvunet", ("fake_nighthawk", "fake_berlin")))


@pytest.fixture(scope="module")
def released_report(cache: Path) -> Report:
    settings = {"variant": "released", "channels": 2}
    return build_report(ReportRequest("hqconv", ("fake_nighthawk",), settings=settings))
