from pathlib import Path
from types import SimpleNamespace

from rich.console import Console

from qhybrid.run_folder import Run
from qhybrid.training.progress import ProgressDisplay


def test_the_bar_says_that_it_stops_on_its_one_line_of_80_columns(tmp_path: Path) -> None:
    console = Console(width=80, force_terminal=True)
    display = ProgressDisplay(console, Run(tmp_path), SimpleNamespace(requested=True))
    figures = "loss 0.3220  12.05 steps/s"
    display._bar.add_task("epoch 10/20", total=1123, completed=550, figures=figures)
    with console.capture() as capture:
        console.print(display._bar.get_renderable())
    (line,) = capture.get().strip().splitlines()
    assert "stopping after this step" in line
