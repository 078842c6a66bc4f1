import importlib.util
from pathlib import Path

import pytest


@pytest.mark.thorough
def test_the_table_of_noise_can_be_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[2] / "docs" / "measure_noise.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(["statevector", "aer:readout=0.1", "--numbers", "20000"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [cells[0] for cells in rows[:2]] == ["| `statevector`", "| `aer:readout=0.1`"]
    for cells in rows[:2]:
        assert min(float(cell.rstrip(" |")) for cell in cells[3:]) > 1e-3
    module.main(["statevector", "--numbers", "24000", "--entangled"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [cells[0] for cells in rows] == ["| `coins`", "| `ghz`", "| `random-circuit`"]
    largest = [float(cells[3]) for cells in rows]
    assert largest[0] < 0.12
    assert largest[1] == 1.0
    assert 0.4 < largest[2] < 1.0
