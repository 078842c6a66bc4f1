from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.utils import make_grid

from qhybrid.data.load import load_dataset
from qhybrid.diffusion.images import save_gif, save_grid, to_uint8
from qhybrid.files import replacing
from qhybrid_circuits.errors import ShapeError


def test_bytes_undo_the_scaling_of_datasets() -> None:
    dataset = load_dataset("digits")
    assert np.array_equal(to_uint8(dataset.tensor()), dataset.images.numpy())


def test_values_outside_are_clipped() -> None:
    assert to_uint8(
        torch.tensor([-3.0, -1.0, 0.0, 1.0, 9.0]).view(1, 1, 1, 5)
    ).ravel().tolist() == [
        0,
        0,
        128,
        255,
        255,
    ]


def test_small_images_are_enlarged_sharply(tmp_path: Path) -> None:
    images = load_dataset("digits").tensor()[:6]
    save_grid(images, tmp_path / "new" / "grid.png", columns=3)
    with Image.open(tmp_path / "new" / "grid.png") as grid:
        pixels = np.asarray(grid.convert("L"))
    border = 4  # half of the factor by which pixels are enlarged
    cell = 64 + border
    assert pixels.shape == (2 * cell + border, 3 * cell + border)
    tile = pixels[border + cell : 2 * cell, border + cell : 2 * cell]
    expected = np.kron(to_uint8(images)[4, ..., 0], np.ones((8, 8), np.uint8))
    assert np.array_equal(tile, expected)
    assert len(np.unique(pixels[:, :border])) == 1


@pytest.mark.parametrize(("count", "columns"), [(2, 1), (5, 3), (6, 3), (3, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_is_torchvisions(count: int, columns: int, channels: int, tmp_path: Path) -> None:
    images = torch.rand((count, channels, 32, 20), generator=torch.Generator().manual_seed(1))
    save_grid(2 * images - 1, tmp_path / "grid.png", columns=columns, upscale=1)
    expected = make_grid(2 * images - 1, nrow=columns, padding=2, pad_value=-0.4)
    with Image.open(tmp_path / "grid.png") as grid:
        assert np.array_equal(np.asarray(grid), to_uint8(expected[None])[0])


def test_colours_and_factor(tmp_path: Path) -> None:
    image = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    save_grid(image, tmp_path / "grid.png", upscale=1)
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (36, 36)
        assert grid.getpixel((18, 18)) == (255, 0, 128)


def test_animation_has_every_frame(tmp_path: Path) -> None:
    frames = [torch.full((2, 1, 8, 8), level) for level in (-1.0, 0.0, 1.0)]
    save_gif(frames, tmp_path / "denoising.gif")
    with Image.open(tmp_path / "denoising.gif") as gif:
        assert gif.n_frames == 3
        levels, durations = [], []
        for i in range(3):
            gif.seek(i)
            levels.append(gif.convert("L").getpixel((20, 20)))
            durations.append(gif.info["duration"])
    assert levels == [0, 128, 255]
    assert durations[0] < durations[-1]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "grid.png"
    target.write_text("old")

    def fail_half_way() -> None:
        with replacing(target) as unfinished:
            unfinished.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_wrong_shapes(tmp_path: Path) -> None:
    for images in (torch.zeros(8, 8), torch.zeros(1, 2, 8, 8), torch.zeros(0, 1, 8, 8)):
        with pytest.raises(ShapeError):
            save_grid(images, tmp_path / "grid.png")
    with pytest.raises(ShapeError, match="at least one frame"):
        save_gif([], tmp_path / "a.gif")


@pytest.mark.filterwarnings("error")
def test_what_is_not_a_number_is_black() -> None:
    assert to_uint8(torch.full((1, 1, 1, 1), float("nan"))).item() == 0
