"""Diagrams by matplotlib: an empty figure, and its file."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from qhybrid.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a size in inches; nothing of a user's pyplot is touched."""
    # matplotlib says on standard error that it lists the fonts, the first time.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure (PNG)."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
