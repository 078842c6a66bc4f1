"""The page of a run: what it shows of a run with all records, and of one with hardly any."""

import base64
import io
import re
import tarfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qhybrid.diffusion.tiles import tile_sizes
from qhybrid.report.build import Report, build_report
from qhybrid.report.curves import Series, draw_curves
from qhybrid.report.pictures import data_address, denoising_strip, spread_out
from qhybrid.report.render import render
from qhybrid.report.request import ReportRequest


class Outline(HTMLParser):
    """The headings and images of a page, and all that a browser would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.loads: list[str] = []
        self._tag = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._tag = tag
        if tag == "img":
            self.images.append(found)
        self.loads += [str(found[name]) for name in ("src", "href", "srcset") if name in found]

    def handle_data(self, data: str) -> None:
        if self._tag in ("h1", "h2") and data.strip():
            self.headings.append(data)


def test_the_page_of_a_run_has_every_part_and_stays_small(run_report: Report) -> None:
    page = render(run_report, "html")
    assert len(page.encode()) < 500_000
    found = Outline(page)
    wanted = ["Training loss", "Figures by epoch", "Influence by epoch", "Images by epoch"]
    wanted += ["From noise to images", "Forward diffusion"]
    assert found.headings[1:7] == wanted
    assert "How it was trained" in found.headings
    assert len(found.images) == 6 + 1 + 1 + 1
    assert all(image["alt"] for image in found.images)
    assert all(address.startswith("data:") for address in found.loads)
    assert re.findall(r"url\((?!data:)|@import|<script", page) == []
    for image in found.images:
        bytes_ = base64.b64decode(str(image["src"]).partition(",")[2])
        with Image.open(io.BytesIO(bytes_)) as picture:
            assert picture.width >= 100
    shown = re.findall(r"<figcaption>epoch (\d+)</figcaption>", page)
    assert (shown[0], shown[-1], len(shown)) == ("1", "12", 6)
    # Every drawing has a name.
    assert page.count("<svg") == page.count('role="img" aria-label="') == 4


def test_a_part_without_records_says_how_to_get_them(cache: Path, tmp_path: Path) -> None:
    """A run of the first version has no influence, evaluations, samplings or plots."""
    with tarfile.open(Path(__file__).parents[1] / "first_run.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    run = tmp_path / "run"
    page = render(build_report(ReportRequest(str(run), health=False)), "html")
    assert "qhybrid train --evaluate-every N does so" in page
    assert f"Drawing images keeps it: qhybrid sample {run}" in page
    assert Outline(page).headings[1:3] == ["Training loss", "Figures by epoch"]
    assert "Influence by epoch" not in page  # a unet has no circuits


def test_a_damaged_record_is_named(run_report: Report) -> None:
    from qhybrid_circuits.errors import RequestError

    assert run_report.run is not None
    path = run_report.run.sample_grid(1)
    before = path.read_bytes()
    path.write_bytes(before[:100])
    try:
        with pytest.raises(RequestError, match=r"epoch-001.png' is not a readable picture"):
            render(run_report, "html")
    finally:
        path.write_bytes(before)


def test_numbers_that_are_not_finite_are_left_out(run_report: Report) -> None:
    assert run_report.run is not None
    path = run_report.run.metrics_file
    before = path.read_text()
    heading = "step,epoch,loss,learning_rate,steps_per_second"
    path.write_text(f"{heading}\n1,1,nan,0,1\n{'9' * 400},1,1,0,1\n")
    try:
        assert "Nothing is logged in metrics.csv yet" in render(run_report, "html")
    finally:
        path.write_text(before)


def test_what_is_no_run_has_no_parts_of_one(run_report: Report) -> None:
    page = render(replace(run_report, run=None), "html")
    assert "Training loss" not in page


def test_a_linear_axis_has_round_numbers_where_they_belong() -> None:
    found = draw_curves([Series("a", [1, 2, 4], [10.0, 30.0, 20.0])], label="a")
    numbers = np.array([float(tick.text) for tick in found.values])
    places = np.array([tick.at for tick in found.values])
    slope, offset = np.polyfit(numbers, places, 1)
    (curve,) = found.curves
    points = np.array([point.split(",") for point in curve.line.split()], dtype=float)
    np.testing.assert_allclose(points[:, 1], slope * np.array([10, 30, 20]) + offset, atol=0.02)
    np.testing.assert_allclose(points[:, 0], [25, 50, 100])
    assert [tick.text for tick in found.steps] == ["1", "2", "3", "4"]
    assert numbers[0] == 0
    assert all(0 <= tick.at <= 100 for tick in (*found.values, *found.steps))


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_a_single_value_is_drawn_inside(value: float) -> None:
    for logarithmic in {False, value > 0}:
        found = draw_curves([Series("a", [1], [value])], label="a", logarithmic=logarithmic)
        down = float(found.curves[0].line.split(",")[1])
        assert 0 < down < 100
        assert found.values


def test_pictures_are_as_small_as_asked_and_without_loss_where_they_can_be() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    address = data_address(picture, 20_000)
    assert len(base64.b64decode(address.partition(",")[2])) <= 20_000
    plain = Image.new("RGB", (64, 64), (1, 2, 3))
    with Image.open(io.BytesIO(base64.b64decode(data_address(plain, 999).split(",")[1]))) as found:
        assert found.convert("RGB").getpixel((5, 5)) == (1, 2, 3)


def test_few_of_many_are_the_first_the_last_and_some_between() -> None:
    assert spread_out(3, 6) == [0, 1, 2]
    assert spread_out(101, 5) == [0, 25, 50, 75, 100]


def test_a_strip_has_the_same_image_in_a_row(tmp_path: Path) -> None:
    factor, border = tile_sizes(8)
    tile = 8 * factor + border
    frames = []
    for time in range(3):
        frame = Image.new("L", (2 * tile + border, 2 * tile + border), 76)
        for place in range(2):
            level = 100 * place + 20 * time
            frame.paste(level, (place * tile + border, border, (place + 1) * tile, tile))
        frames.append(frame)
    path = tmp_path / "denoising.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    strip = denoising_strip(path, 8, 4, 9)
    assert strip.size == (3 * tile + border, 2 * tile + border)
    middles = [
        [strip.getpixel((c * tile + tile // 2, r * tile + tile // 2))[0] for c in range(3)]
        for r in range(2)
    ]
    np.testing.assert_allclose(middles, [[0, 20, 40], [100, 120, 140]], atol=2)
