"""A grid of samples at the end of each epoch."""

from contextlib import nullcontext

from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.sampling import sample
from qhybrid.run_folder import Run
from qhybrid.training.session import Session
from qhybrid.training.state import StepHook, TrainingState
from qhybrid.training.stopping import StopSignal
from qhybrid_runtime import get_backend
from qhybrid_runtime.backends.registry import check_backend_name
from qhybrid_runtime.layer import on_backend


class _Abandoned(Exception):
    """The run is to stop: the grid is not drawn to its end."""


class SampleGrids(StepHook):
    """Draws the same noise with the EMA weights of every epoch, so that grids can be compared.

    Where the circuits run on a QPU that is paid for, grids are drawn on exact simulation.

    Attributes:
        probe: No figure of its own.
    """

    probe = None

    def __init__(self, run: Run, session: Session, stop: StopSignal) -> None:
        """Set up; a stop ends a grid early."""
        config = session.config
        self._run, self._settings, self._seed = run, config.sampling, config.training.seed
        self._shape = (config.sampling.num_images, *session.spec.drawn_shape)
        self._stop = stop
        paid = check_backend_name(config.quantum.backend).paid
        self._elsewhere = get_backend("statevector") if paid else None

    def after_step(self, state: TrainingState) -> None:
        """Draw the grid of an epoch that has ended."""
        epoch = state.plan.completed_epoch(state.step)
        if epoch is None:
            return
        last = state.step == state.plan.total_steps

        def may_go_on(done: int, total: int) -> None:
            if self._stop.requested and not last:
                raise _Abandoned

        model = state.model
        elsewhere = on_backend(model, self._elsewhere) if self._elsewhere else nullcontext()
        with state.clock.paused(), state.ema.swapped(model), elsewhere:
            try:
                drawn = sample(
                    model,
                    shape=self._shape,
                    spec=state.module.noise_schedule,
                    sampler=self._settings.sampler,
                    steps=self._settings.steps,
                    seed=self._seed,
                    device=next(model.parameters()).device,
                    on_step=may_go_on,
                    noise=state.module.noise,
                    process=state.module.process,
                )
            except _Abandoned:
                return
        save_grid(drawn.images, self._run.sample_grid(epoch))
