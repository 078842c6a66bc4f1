from itertools import chain

import pytest
import torch
from torch.utils.data import DataLoader

from qhybrid.data.dataset import ImageDataset
from qhybrid.training.batches import BatchStream, ResidentBatches, StepPlan, derive_seed


def batches(first: int, stop: int, seed: int = 0) -> list[list[int]]:
    return list(BatchStream(10, 4, seed=seed, first=first, stop=stop))


def test_twenty_epochs_of_mnist_are_the_papers_steps() -> None:
    assert StepPlan(60_000, 128, 1, 20).total_steps == 9375


def test_every_image_comes_once_an_epoch() -> None:
    seen = list(chain.from_iterable(batches(0, 5)))
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_a_stream_can_be_entered_anywhere() -> None:
    assert batches(0, 3) + batches(3, 8) == batches(0, 8)
    assert batches(0, 8) != batches(0, 8, seed=1)
    assert all(len(batch) == 4 for batch in batches(0, 8))


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(("images", "batch_size"), [(10, 4), (100, 7), (8, 8), (1797, 64)])
def test_each_epoch_ends_once_and_the_last_ends_the_run(
    images: int, batch_size: int, accumulate: int
) -> None:
    plan = StepPlan(images, batch_size, accumulate, epochs=6)
    steps = range(1, plan.total_steps + 1)
    epochs = [plan.epoch_of(step) for step in steps]
    completed = [epoch for step in steps if (epoch := plan.completed_epoch(step)) is not None]
    assert epochs == sorted(epochs)
    assert completed == sorted(set(completed))
    assert completed[-1] == epochs[-1]
    if images >= batch_size * accumulate:
        assert completed == [1, 2, 3, 4, 5, 6]


def test_a_limit_on_the_steps_ends_its_epoch() -> None:
    plan = StepPlan(100, 10, 1, epochs=5, max_steps=13)
    assert plan.total_steps == 13
    assert plan.completed_epoch(13) == 2
    assert plan.completed_epoch(12) is None


def test_seeds_differ_by_purpose_and_index() -> None:
    seeds = {derive_seed(seed, purpose, i) for seed in (0, 1) for purpose in (0, 1) for i in (0, 1)}
    assert len(seeds) == 8


def test_batches_on_a_gpu_are_those_of_the_loader(rng) -> None:
    pixels = torch.as_tensor(rng.integers(0, 256, (7, 4, 4, 1)), dtype=torch.uint8)
    images = ImageDataset(pixels, torch.arange(7) % 3, class_names={}, source="here")
    stream = BatchStream(7, 3, seed=5, first=1, stop=6)
    resident = ResidentBatches(images, stream, torch.device("cpu"))
    loader = DataLoader(images, batch_sampler=stream)
    assert len(resident) == len(loader) == 5
    for ours, theirs in zip(resident, loader, strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
