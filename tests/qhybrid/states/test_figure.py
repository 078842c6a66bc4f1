from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qhybrid.states.figure import save_fidelity_figure
from qhybrid_circuits.errors import ShapeError


def _orange(path: Path) -> np.ndarray:
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.argwhere((np.abs(pixels - [214, 96, 20]) < 12).all(-1))


def test_curves_lie_where_their_values_are(tmp_path: Path) -> None:
    heights = []
    for value in (0.0, 0.5, 1.0):
        path = tmp_path / f"{value}.png"
        save_fidelity_figure({"a": [0.2] * 5, "b": [value] * 5}, path, label="time")
        rows = _orange(path)[:, 0]
        # The legend lies above the axes.
        heights.append(np.median(rows[rows > 40]))
    assert heights[0] > heights[1] > heights[2]
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2, abs=2)


def test_bands_are_drawn_and_the_file_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    save_fidelity_figure({"a": [0.1, 0.9]}, path)
    plain = path.read_bytes()
    save_fidelity_figure({"a": [0.1, 0.9]}, path, bands={"a": ([0.0, 0.5], [0.4, 1.0])})
    assert path.read_bytes() != plain
    assert list(tmp_path.iterdir()) == [path]


def test_curves_that_do_not_fit(tmp_path: Path) -> None:
    for curves in ({}, {"a": [0.5]}, {"a": [0.5, 0.5], "b": [0.1, 0.2, 0.3]}):
        with pytest.raises(ShapeError, match="curves of one length"):
            save_fidelity_figure(curves, tmp_path / "out.png")
    assert not list(tmp_path.iterdir())
