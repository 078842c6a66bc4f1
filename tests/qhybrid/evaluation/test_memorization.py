from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist

from qhybrid.data.load import load_dataset
from qhybrid.evaluation.bootstrap import resample
from qhybrid.evaluation.memorization import memorization


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    """Real 8x8 digits in a random order."""
    images = load_dataset("digits").images
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]


def test_the_nearest_images_are_scipys(digits: torch.Tensor) -> None:
    generated, training = digits[:300], digits[300:]
    found = memorization(generated, training, resample(300))
    apart = cdist(*(x.flatten(1).double().numpy() / 255 / 8 for x in (generated, training)))
    assert found.distances.numpy() == pytest.approx(apart.min(1), abs=1e-6)
    chosen = apart[np.arange(300), found.nearest.numpy()]
    assert chosen == pytest.approx(apart.min(1), abs=1e-9)


def test_fresh_images_are_as_far_as_training_images_and_copies_are_not(
    digits: torch.Tensor,
) -> None:
    fresh, training = digits[:800], digits[800:]
    honest = memorization(fresh, training, resample(800))
    assert honest.low <= 0.02
    assert honest.share == pytest.approx(honest.expected, abs=0.015)
    copied = memorization(training[:800].roll(5, dims=0), training, resample(800))
    assert (copied.share, copied.copies, copied.low) == (1, 800, 1)
    mixed = torch.cat([fresh[:400], training[:400]])
    half = memorization(mixed, training, resample(800))
    assert half.share == pytest.approx(0.505, abs=0.02)
    assert half.low < half.share < half.high


def test_the_picture_and_the_table_show_the_nearest(digits: torch.Tensor, tmp_path: Path) -> None:
    generated, training = digits[:100].clone(), digits[100:]
    generated[7] = training[42]
    found = memorization(generated, training, resample(100))
    found.save(generated, training, tmp_path / "worst.png", tmp_path / "nearest.npz")
    with np.load(tmp_path / "nearest.npz") as arrays:
        assert (arrays["nearest"][7], arrays["distance"][7]) == (42, 0)
        assert arrays["distance"][:7].min() > 0
    with Image.open(tmp_path / "worst.png") as picture:
        pixels = np.asarray(picture.convert("L")).astype(int)
    tile = pixels.shape[0] // 6
    assert np.abs(pixels[:tile, :tile] - pixels[tile : 2 * tile, :tile]).max() <= 1
