import pytest
from numba.core.caching import CacheImpl

from qhybrid_runtime.engine.cpu.lanes import compiled


def test_kernels_are_compiled_where_no_folder_can_be_written_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @compiled
    def twice(number: int) -> int:
        return 2 * number

    assert twice(21) == 42
