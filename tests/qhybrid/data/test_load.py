import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from qhybrid.data import digits
from qhybrid.data.dataset import ImageDataset
from qhybrid.data.load import load_dataset
from qhybrid_circuits.errors import RequestError, ShapeError, UnknownNameError

_MNIST = Path(
    os.environ.get("QHYBRID_TEST_MNIST", Path(__file__).parents[3] / "../shared/data/mnist10k.npz")
)


def test_digits_are_scikit_learns() -> None:
    dataset = load_dataset("digits")
    assert (len(dataset), dataset.image_size, dataset.channels) == (1797, 8, 1)
    expected = load_digits().images / 8 - 1
    # A byte is half a level off at most, and a level is 2/255 wide.
    np.testing.assert_allclose(dataset.tensor()[:, 0].numpy(), expected, atol=1.001 / 255)
    assert dataset.labels.tolist() == load_digits().target.tolist()


def test_digits_are_the_same_where_their_file_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = load_dataset("digits")
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    asked = load_dataset("digits")
    assert torch.equal(asked.images, usual.images)
    assert torch.equal(asked.labels, usual.labels)


def test_items_are_scaled_channel_first() -> None:
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    pixels[0, 1, 2] = (0, 51, 255)
    dataset = ImageDataset(
        torch.tensor(pixels), torch.tensor([7]), class_names={7: "7"}, source="made here"
    )
    image, label = dataset[0]
    assert (image.shape, image.dtype, label) == ((3, 8, 8), torch.float32, 7)
    assert image[:, 1, 2].tolist() == pytest.approx([-1.0, -0.6, 1.0])


def test_dataset_refuses_other_arrays() -> None:
    labels = torch.zeros(2, dtype=torch.long)
    for images in (
        torch.zeros(2, 8, 8, 1),
        torch.zeros(2, 8, 9, 1, dtype=torch.uint8),
        torch.zeros(2, 8, 8, 2, dtype=torch.uint8),
        torch.zeros(3, 8, 8, 1, dtype=torch.uint8),
    ):
        with pytest.raises(ShapeError):
            ImageDataset(images, labels, class_names={}, source="made here")


def test_a_loader_batches_it() -> None:
    images, labels = next(iter(DataLoader(load_dataset("digits"), batch_size=5)))
    assert images.shape == (5, 1, 8, 8)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("size", [16, 28, 32])
def test_resizing_keeps_the_picture(size: int) -> None:
    dataset = load_dataset("digits", classes=[3], image_size=size)
    assert dataset.image_size == size
    native = load_dataset("digits", classes=[3]).tensor()
    # Pooling back to 8x8 undoes an aligned enlargement, up to bicubic's overshoot at edges.
    pooled = torch.nn.functional.adaptive_avg_pool2d(dataset.tensor(), 8)
    correlation = torch.corrcoef(torch.stack([pooled.flatten(), native.flatten()]))[0, 1]
    assert correlation > 0.97


def test_unsupported_size_is_refused_with_the_list() -> None:
    with pytest.raises(RequestError, match="8, 16, 28 or 32"):
        load_dataset("digits", image_size=20)


def test_classes_by_number_and_name() -> None:
    dataset = load_dataset("digits", classes="0, 1")
    assert set(dataset.labels.tolist()) == {0, 1}
    assert dataset.class_names == {0: "0", 1: "1"}
    assert len(dataset) == int(np.isin(load_digits().target, [0, 1]).sum())
    assert load_dataset("digits", classes=[1, "0"]).labels.equal(dataset.labels)


@pytest.mark.parametrize("wanted", ["12", ["seven"], [-1]])
def test_unknown_class_lists_those_that_exist(wanted: str | list[str | int]) -> None:
    with pytest.raises(UnknownNameError, match="0, 1, 2, 3, 4, 5, 6, 7, 8, 9"):
        load_dataset("digits", classes=wanted)


@pytest.mark.parametrize("wanted", ["", [], " , "])
def test_no_class_at_all(wanted: str | list[str | int]) -> None:
    with pytest.raises(RequestError, match="no class is named"):
        load_dataset("digits", classes=wanted)


def test_digits_have_no_test_split() -> None:
    with pytest.raises(RequestError, match="no 'test' split"):
        load_dataset("digits", split="test")


def test_mnist_file() -> None:
    if not _MNIST.is_file():
        pytest.skip(f"{_MNIST} is not there; QHYBRID_TEST_MNIST may name another file")
    train, test = load_dataset(_MNIST), load_dataset(_MNIST, split="test", classes=[3, 8])
    assert (len(train), train.image_size, train.channels) == (9000, 28, 1)
    assert set(train.class_names) == set(range(10))
    assert set(test.labels.tolist()) == {3, 8}
    # MNIST's published mean and standard deviation of pixels are 0.1307 and 0.3081 in [0, 1].
    unit = (train.tensor() + 1) / 2
    assert unit.mean().item() == pytest.approx(0.1307, abs=0.004)
    assert unit.std().item() == pytest.approx(0.3081, abs=0.004)


def test_a_limit_keeps_a_part_that_a_larger_one_keeps_too() -> None:
    everything = load_dataset("digits", classes=[3, 7])
    parts = [load_dataset("digits", classes=[3, 7], limit=limit) for limit in (20, 60, 10_000)]
    assert [len(part) for part in parts] == [20, 60, len(everything)]
    assert load_dataset("digits", classes=[3, 7], limit=20).images.equal(parts[0].images)
    held = [{image.numpy().tobytes() for image in part.images} for part in parts]
    assert held[0] < held[1] < held[2]
    assert set(parts[0].labels.tolist()) == {3, 7}
    with pytest.raises(RequestError, match="limit must be at least 1, but is 0"):
        load_dataset("digits", limit=0)
