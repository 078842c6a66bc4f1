"""The order of the images: one endless stream that any batch can be found in again.

Epochs follow one another without a gap, so every batch is full and 20 epochs of 60,000 images in
batches of 128 are the paper's 9,375 steps. The order of an epoch depends on the seed and the
epoch alone: a resumed run continues in the middle of one without a saved loader state.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from qhybrid.data.dataset import ImageDataset, scale_pixels
from qhybrid.torch_device import without_waiting


def derive_seed(seed: int, purpose: int, index: int) -> int:
    """Return a seed for one use of randomness, independent of every other purpose and index."""
    return int(np.random.SeedSequence([seed, purpose, index]).generate_state(1, np.uint64)[0] >> 1)


WEIGHTS, ORDER, NOISE, NOISE_POOL, PREPARATION = range(5)
"""Purposes of `derive_seed`: initial weights, the order of the images, times and noise, noise that
is measured beforehand, and what is trained before the first step."""


@dataclass(frozen=True)
class StepPlan:
    """How optimizer steps, batches and epochs relate.

    Attributes:
        images: Images in the data set.
        batch_size: Images per batch, never more than there are images.
        accumulate: Batches an optimizer step.
        epochs: Passes over the images.
        max_steps: Limit on the optimizer steps, or None.
    """

    images: int
    batch_size: int
    accumulate: int
    epochs: int
    max_steps: int | None = None

    @property
    def images_per_step(self) -> int:
        """Return the images that one optimizer step sees."""
        return self.batch_size * self.accumulate

    @property
    def total_steps(self) -> int:
        """Return the optimizer steps of the whole run."""
        steps = self.last_step(self.epochs)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def last_step(self, epoch: int) -> int:
        """Return the number of the optimizer step that completes an epoch, both counted from 1."""
        return max(1, epoch * self.images // self.images_per_step)

    def epoch_of(self, step: int) -> int:
        """Return the epoch, from 1, that an optimizer step (from 1) belongs to."""
        return min(self.epochs, -(-step * self.images_per_step // self.images))

    def completed_epoch(self, step: int) -> int | None:
        """Return the epoch that a step completes, or None; the last step completes its epoch."""
        epoch = self.epoch_of(step)
        return epoch if step in (self.last_step(epoch), self.total_steps) else None


class BatchStream(Sampler[list[int]]):
    """Indices of the batches `first, first + 1, ..., stop - 1` of the endless stream."""

    def __init__(self, images: int, batch_size: int, *, seed: int, first: int, stop: int) -> None:
        """Choose a part of the stream; batches are counted from 0 over the whole run."""
        self._images, self._batch_size, self._seed = images, batch_size, seed
        self._batches = range(first, stop)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the indices of one batch after the other."""
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for batch in self._batches:
            indices: list[int] = []
            for position in range(batch * self._batch_size, (batch + 1) * self._batch_size):
                if position // self._images != epoch:
                    epoch = position // self._images
                    order = self._order(epoch)
                indices.append(int(order[position % self._images]))
            yield indices

    def _order(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        generator = np.random.default_rng(derive_seed(self._seed, ORDER, epoch))
        return generator.permutation(self._images)


RESIDENT_BYTES = 1 << 30
"""Images of up to so many bytes are kept on a GPU."""


class ResidentBatches:
    """The batches of a stream, of images that are on a GPU already, as bytes.

    So a step needs of the host no more than the indices of its images.
    """

    def __init__(self, dataset: ImageDataset, stream: BatchStream, device: torch.device) -> None:
        """Copy the images and labels to the torch device."""
        self._images, self._labels = (each.to(device) for each in (dataset.images, dataset.labels))
        self._stream, self._device = stream, device

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._stream)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, C, H, W) in [-1, 1] and label ids (B,)."""
        for indices in self._stream:
            chosen = without_waiting(torch.tensor(indices), self._device)
            yield scale_pixels(self._images[chosen]), self._labels[chosen]
