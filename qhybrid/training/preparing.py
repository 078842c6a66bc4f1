"""What a run does before its first step, where its process needs something."""

import signal

from rich.console import Console
from rich.progress import TextColumn
from torch import Tensor
from torch.utils.data import Dataset

from qhybrid.data.dataset import scale_pixels
from qhybrid.diffusion.process import Preparation
from qhybrid.printing import print_lines, progress_bar
from qhybrid.run_folder import Run
from qhybrid.signals import handling, interrupt
from qhybrid.training.batches import PREPARATION, derive_seed
from qhybrid.training.outcome import Interrupted
from qhybrid.training.session import Session


def prepare(run: Run, session: Session, console: Console) -> Dataset[tuple[Tensor, int]]:
    """Return what the model is trained on: the images, or what its process makes of them.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; a resumed run prepares anew.
    """
    dataset, module = session.dataset, session.state.module

    def images(chosen: Tensor) -> Tensor:
        return scale_pixels(dataset.images[chosen])

    columns = TextColumn("steps"), TextColumn("")
    with (
        handling([signal.SIGTERM], interrupt),
        progress_bar(console, *columns) as bar,
    ):
        shown = session.spec.row.process.latents
        task = bar.add_task("autoencoder", total=None, visible=shown)
        try:
            prepared = module.process.prepare(
                module.model,
                Preparation(
                    images=images,
                    labels=dataset.labels,
                    seed=derive_seed(session.config.training.seed, PREPARATION, 0),
                    picture=run.reconstruction,
                    on_step=lambda done, total: bar.update(task, completed=done, total=total),
                    tell=lambda text: print_lines(console, {"latents": text}),
                ),
            )
        except KeyboardInterrupt as interruption:
            raise Interrupted(run.newest_step(), run.folder, at_once=True) from interruption
    return dataset if prepared is None else prepared
