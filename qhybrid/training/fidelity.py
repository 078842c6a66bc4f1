"""The fidelity of quantum states at the end of each epoch: a figure, and a picture of the steps."""

import shutil
from typing import Any

import torch

from qhybrid.diffusion.sampling import sample
from qhybrid.files import replacing
from qhybrid.run_folder import Run
from qhybrid.states.curves import LABEL, fidelity_curves
from qhybrid.states.figure import save_fidelity_figure
from qhybrid.states.losses import fidelity
from qhybrid.training.session import Session
from qhybrid.training.state import StepHook, TrainingState
from qhybrid.training.stopping import StopSignal

STATES = 300
"""That are drawn for the picture."""


class FidelityProbe:
    """Measures the fidelity of what all steps make of I/d with the data's mean state.

    Attributes:
        column: Its name in metrics.csv.
    """

    column = "fidelity"

    def __init__(self, session: Session) -> None:
        """Take the data."""
        self._mean = session.dataset.images.mean(0)

    @torch.no_grad()
    def logged(self, state: TrainingState) -> float:
        """Return the fidelity with the averaged weights."""
        model: Any = state.model
        with state.clock.paused(), state.ema.swapped(model):
            generated = model.reverse.chain()[-1]
        return float(fidelity(generated.cpu(), self._mean))


class FidelityCurves(StepHook):
    """Draws the fidelity with the data's states while noise is added and while it is removed.

    Attributes:
        probe: The figure of each epoch.
    """

    def __init__(self, run: Run, session: Session, stop: StopSignal) -> None:
        """Set up; the same noise is drawn from with the weights of every epoch."""
        self._run, self._session = run, session
        self.probe = FidelityProbe(session)

    def after_step(self, state: TrainingState) -> None:
        """Draw the picture of an epoch that has ended."""
        epoch = state.plan.completed_epoch(state.step)
        if epoch is None:
            return
        spec, process = self._session.spec, state.module.process
        with state.clock.paused(), state.ema.swapped(state.model):
            steps = process.schedule.timesteps
            drawn = sample(
                state.model,
                shape=(STATES, *spec.drawn_shape),
                spec=process.schedule,
                sampler=str(process.info.sampler),
                steps=steps,
                seed=self._session.config.training.seed,
                device=next(state.model.parameters()).device,
                keep=steps + 1,
                noise=state.module.noise,
                process=process,
            )
            curves = fidelity_curves(process, self._session.dataset.images, drawn.frames or [])
            path = self._run.sample_grid(epoch)
            save_fidelity_figure(curves.lines, path, bands=curves.bands, label=LABEL)
            with replacing(self._run.fidelity_plot) as temporary:
                shutil.copyfile(path, temporary)
