"""A grid of samples at the end of each epoch."""

import lightning as L

from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.sampling import sample
from qhybrid.run_folder import Run
from qhybrid.settings.config import SamplingSection
from qhybrid.training.callback import StepCallback
from qhybrid.training.clock import Stopwatch
from qhybrid.training.module import DenoisingModule
from qhybrid.training.stopping import StopSignal


class _Abandoned(Exception):
    """The run is to stop: the grid is not drawn to its end."""


class SampleGrids(StepCallback):
    """Draws the same noise with the EMA weights of every epoch, so that grids can be compared."""

    def __init__(
        self,
        run: Run,
        settings: SamplingSection,
        *,
        image_shape: tuple[int, int, int],
        seed: int,
        stop: StopSignal,
        clock: Stopwatch,
    ) -> None:
        """Set up.

        Args:
            run: Where to.
            settings: Sampler, steps and number of images.
            image_shape: (C, H, W).
            seed: Of the noise.
            stop: Ends a grid early.
            clock: Paused meanwhile.
        """
        self._run, self._settings, self._seed = run, settings, seed
        self._shape = (settings.num_images, *image_shape)
        self._stop, self._clock = stop, clock

    def after_step(self, trainer: L.Trainer, module: DenoisingModule) -> None:
        """Draw the grid of an epoch that has ended."""
        epoch = module.plan.completed_epoch(module.step)
        if epoch is None:
            return
        last = module.step == module.plan.total_steps

        def may_go_on(done: int, total: int) -> None:
            if self._stop.requested and not last:
                raise _Abandoned

        with self._clock.paused(), module.ema.swapped(module.model):
            try:
                drawn = sample(
                    module.model,
                    shape=self._shape,
                    spec=module.schedule,
                    sampler=self._settings.sampler,
                    steps=self._settings.steps,
                    seed=self._seed,
                    device=module.device,
                    on_step=may_go_on,
                    noise=module.noise,
                    process=module.process,
                )
            except _Abandoned:
                return
        save_grid(drawn.images, self._run.sample_grid(epoch))
