"""How a training run can end before its last step."""

import shlex
from pathlib import Path

from qhybrid_circuits.errors import QHybridError


class Interrupted(QHybridError):
    """The user, or the system, stopped the run; the message says how to resume it."""

    def __init__(self, step: int, folder: Path, *, at_once: bool = False, run: str = "") -> None:
        """Say where the run stands, by its newest checkpoint; `at_once` gives up later steps.

        In a group, `folder` is the group's and `run` names the run.
        """
        self.step, self.folder, self.at_once = step, folder, at_once
        what = "stopped at once; the newest checkpoint is of" if at_once else "saved at"
        where = f"step {step} of {run}" if run else f"step {step}"
        super().__init__(f"{what} {where}; resume with: {resume_command(folder)}")


class Unmeasured(Interrupted):
    """The same after the last step: only the influence of the circuits is missing."""

    def __init__(self, step: int, folder: Path) -> None:
        """Say that the model is finished, and how to measure what is missing."""
        super().__init__(step, folder)
        self.args = (
            "the training is finished and its model saved; what its circuits change was not "
            f"measured: {resume_command(folder)} does so",
        )


class TrainingDiverged(QHybridError):
    """The loss, or a weight, is no longer a finite number."""

    def __init__(self, step: int, checkpoint: Path | None, where: str = "") -> None:
        """Say at which optimizer step it happened first, and which checkpoint is left.

        `where` says in which tensor, if that is known.
        """
        self.step, self.checkpoint = step, checkpoint
        left = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint yet"
        first = f", first in {where}" if where else ""
        super().__init__(
            f"the loss stopped being a finite number at step {step}{first} ({left}); start again "
            "with a lower --set training.learning_rate=... or with --set training.gradient_clip=1.0"
        )


def resume_command(folder: Path) -> str:
    """Return the command line that continues the run in a folder."""
    return f"qhybrid train --resume --out {shlex.quote(str(folder))}"


def agreed(what: str, seconds: float) -> bool:
    """Agree to QPU seconds that would be spent on something, as `--yes` does."""
    return True
