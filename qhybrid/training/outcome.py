"""How a training run can end before its last step."""

import shlex
from pathlib import Path

from qhybrid_circuits.errors import QHybridError


class Interrupted(QHybridError):
    """The user, or the system, stopped the run; the message says how to resume it."""

    def __init__(self, step: int, folder: Path, *, at_once: bool = False) -> None:
        """Say where the run stands.

        Args:
            step: The optimizer step of the newest checkpoint.
            folder: The run's folder.
            at_once: Whether the steps since that checkpoint were given up.
        """
        self.step, self.folder = step, folder
        what = "stopped at once; the newest checkpoint is of" if at_once else "saved at"
        super().__init__(f"{what} step {step}; resume with: {resume_command(folder)}")


class TrainingDiverged(QHybridError):
    """The loss, or a weight, is no longer a finite number."""

    def __init__(self, step: int, checkpoint: Path | None) -> None:
        """Say when it happened and what is left.

        Args:
            step: The first optimizer step whose loss, or result, was not finite.
            checkpoint: The newest checkpoint, from before that step.
        """
        self.step, self.checkpoint = step, checkpoint
        left = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint yet"
        super().__init__(
            f"the loss stopped being a finite number at step {step} ({left}); start again with a "
            "lower --set training.learning_rate=... or with --set training.gradient_clip=1.0"
        )


def resume_command(folder: Path) -> str:
    """Return the command line that continues the run in a folder."""
    return f"qhybrid train --resume --out {shlex.quote(str(folder))}"
