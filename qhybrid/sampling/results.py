"""The files of a sampling run: what is kept of each part, and what is made of all of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qhybrid.data.dataset import scale_pixels
from qhybrid.diffusion.images import save_gif, save_grid, to_uint8
from qhybrid.diffusion.sampling import SampleResult
from qhybrid.files import replacing
from qhybrid.models.rows import MODELS
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.plan import GRID_IMAGES, SamplingPlan
from qhybrid_circuits.plugins import load_reference


class Results(ABC):
    """What becomes of drawn things of one kind.

    Attributes:
        key: Their name in the files.
        frames: How many moments of the first part are kept; None for all.
        pictures: The attributes of `SamplingRun` with pictures of them, that of the first part.
    """

    key: ClassVar[str]
    frames: ClassVar[int | None]
    pictures: ClassVar[tuple[str, ...]]

    @abstractmethod
    def file(self, run: SamplingRun) -> Path:
        """Return the npz file of all."""

    @abstractmethod
    def tensors(self, found: SampleResult) -> dict[str, Tensor]:
        """Return what is kept of a part: under `key`, `labels`, and `frames` of the first part."""

    @abstractmethod
    def draw(self, run: SamplingRun, plan: SamplingPlan, shown: Mapping[str, Tensor]) -> None:
        """Write the pictures of the first part's tensors."""

    def array(self, name: str, values: Tensor) -> NDArray[Any]:
        """Return a part's tensor as the npz file has it."""
        array: NDArray[Any] = values.numpy()
        return array

    def write(self, run: SamplingRun, arrays: Mapping[str, Any]) -> None:
        """Write the npz file."""
        with replacing(self.file(run)) as temporary:
            np.savez_compressed(temporary, **arrays)


class ImageResults(Results):
    """Bytes in images.npz, a grid, and an animation of the denoising."""

    key = "images"
    frames = 32
    pictures = ("grid_file", "animation_file")

    def file(self, run: SamplingRun) -> Path:
        return run.images_file

    def tensors(self, found: SampleResult) -> dict[str, Tensor]:
        tensors = {self.key: _bytes(found.images)}
        if found.labels is not None:
            tensors["labels"] = found.labels
        if found.frames is not None:
            tensors["frames"] = torch.stack([_bytes(each[:GRID_IMAGES]) for each in found.frames])
        return tensors

    def draw(self, run: SamplingRun, plan: SamplingPlan, shown: Mapping[str, Tensor]) -> None:
        save_grid(scale_pixels(shown[self.key][:GRID_IMAGES]), run.grid_file)
        save_gif([scale_pixels(frame) for frame in shown["frames"]], run.animation_file)


def results_of(plan: SamplingPlan) -> Results:
    """Return what becomes of what a plan draws."""
    results: Results = load_reference(MODELS[plan.config.model.name].process.kind.results)()
    return results


def _bytes(images: Tensor) -> Tensor:
    return torch.from_numpy(to_uint8(images))
