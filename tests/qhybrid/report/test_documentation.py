import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[3] / "docs" / "reports.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS)
def test_python_blocks_run(code: str, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "reports.md", "exec"), {})
    assert re.match(r"\d+ (0\.\d+ \d+|of \d+)\n", capsys.readouterr().out)
