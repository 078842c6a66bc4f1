"""What a run's circuits change in its model, measured on images that are always the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qhybrid.data.dataset import ImageDataset, scale_pixels
from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.diffusion.sampling import sample
from qhybrid.models.control import circuit_places
from qhybrid.run_metrics import INFLUENCE
from qhybrid.settings.sections import DataSection
from qhybrid.training.held_out import unseen_images
from qhybrid.training.module import DenoisingModule
from qhybrid.training.state import TrainingState
from qhybrid_runtime import get_backend
from qhybrid_runtime.health.influence import Influence, influence, output_change
from qhybrid_runtime.layer import on_backend

IMAGES, LOGGED_IMAGES = 256, 64
"""How many images the influence is measured on, and the one that is logged while training."""

_SEED = 4
"""Of the images, times, noise, permutations and weights: those of all runs are the same."""

_DRAWN, _STEPS, _MOST_STEPS = 8, 5, 50
"""Images that are drawn, denoising steps of each, and steps from which on none are drawn."""

_STATES = 640
"""States that a model of states, which sees each image at all timesteps, is given at most."""


@dataclass(frozen=True)
class HeldOut:
    """Images to measure on.

    Attributes:
        images: float32 (N, C, H, W) in [-1, 1].
        ids: The data set's own label ids, (N,).
        split: `test`; `train` where the data set has no test images like those of the training.
    """

    images: Tensor
    ids: Tensor
    split: str

    def first(self, count: int) -> "HeldOut":
        """Return the first images."""
        return HeldOut(self.images[:count], self.ids[:count], self.split)


def held_out(data: DataSection, dataset: ImageDataset, module: DenoisingModule) -> HeldOut:
    """Return images that a model was not trained on, or some of its own where there are no others.

    They are a random part of the split, the same for all runs.
    """
    chosen, split = dataset, "train"
    unseen = unseen_images(data, dataset, module.process)
    if unseen is not None and len(unseen) > 1:
        chosen, split = unseen, "test"
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(_SEED))[:IMAGES]
    return HeldOut(scale_pixels(chosen.images[order]), chosen.labels[order], split)


_Evaluation = tuple[tuple[Tensor, ...], Callable[[Tensor], Tensor] | None]


class Probe:
    """Measures the influence of a model's circuits on exact simulation, with its present weights.

    The model's own backend, its random numbers and those of torch are not touched.

    Attributes:
        split: Where the images are from.
    """

    column = INFLUENCE

    def __init__(
        self, module: DenoisingModule, held: HeldOut, places: Sequence[nn.Module] | None = None
    ) -> None:
        """Take a model, the images to measure on, and what to change: its circuits if omitted."""
        self._module, self._held, self.split = module, held, held.split
        self._places = circuit_places(module.model) if places is None else places
        self._exact = get_backend("statevector")
        self._evaluations: dict[int, _Evaluation] = {}

    def influence(self, images: int = IMAGES, *, draw: bool = True) -> tuple[Influence, int]:
        """Return the influence on output and loss, and how many images it was measured on.

        The influence on samples is measured too where `draw` is set.
        """
        held = self._batch(images)
        with on_backend(self._module.model, self._exact):
            arguments, loss = self._evaluation(held)
            found = influence(
                self._module.model,
                arguments,
                loss,
                samples=self._samples() if draw else None,
                modules=self._places,
                seed=_SEED,
            )
        return found, len(held.images)

    def logged(self, state: TrainingState) -> float:
        """Return how much the averaged model's output changes with circuits set to their mean."""
        held, model = self._batch(LOGGED_IMAGES), self._module.model
        with state.clock.paused(), state.ema.swapped(model), on_backend(model, self._exact):
            arguments, _ = self._evaluation(held)
            return output_change(model, arguments, "mean", modules=self._places)

    def _batch(self, images: int) -> HeldOut:
        info = self._module.process.info
        times = self._module.noise_schedule.timesteps if info.sampler is not None else 1
        return self._held.first(max(2, min(images, _STATES // times)))

    def _evaluation(self, held: HeldOut) -> _Evaluation:
        """Return what the loss calls the model with, and the loss of what the model says to it.

        There is none of a process whose loss calls the model more than once. Neither depends on the
        model's weights.
        """
        count = len(held.images)
        if count not in self._evaluations:
            self._evaluations[count] = self._new_evaluation(held)
        return self._evaluations[count]

    def _new_evaluation(self, held: HeldOut) -> _Evaluation:
        module, device = self._module, next(self._module.parameters()).device
        images, labels = held.images.to(device), module.classes_of(held.ids.to(device))
        images = module.process.encode(module.model, images)
        calls = []

        def loss(answer: Callable[..., Tensor]) -> Tensor:
            generator = torch.Generator().manual_seed(_SEED)
            return module.process.loss(answer, images, labels, generator, GaussianNoise())

        def recorded(*arguments: Tensor) -> Tensor:
            calls.append(arguments)
            return module.model(*arguments)  # type: ignore[no-any-return]

        with torch.no_grad():
            loss(recorded)
        of_output = None if len(calls) > 1 else lambda output: loss(lambda *_: output)
        return calls[0], of_output

    def _samples(self) -> Callable[[], Tensor] | None:
        module, schedule = self._module, self._module.noise_schedule
        sampler = module.process.info.sampler
        steps = min(_STEPS, schedule.timesteps) if sampler is None else schedule.timesteps
        if steps > _MOST_STEPS:
            return None
        return lambda: (
            sample(
                module.model,
                shape=(_DRAWN, *self._held.images.shape[1:]),
                spec=schedule,
                sampler=sampler or "ddim",
                steps=steps,
                seed=_SEED,
                device=next(module.parameters()).device,
                process=module.process,
            ).images
        )
