"""What all callbacks of a run share: they act after an optimizer step."""

from abc import abstractmethod
from typing import Any

import lightning as L

from qhybrid.training.module import DenoisingModule


class StepCallback(L.Callback):
    """Called once after each optimizer step, however many batches it took."""

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Pass on the batches that end an optimizer step."""
        if isinstance(pl_module, DenoisingModule) and pl_module.between_steps(batch_idx):
            self.after_step(trainer, pl_module)

    @abstractmethod
    def after_step(self, trainer: L.Trainer, module: DenoisingModule) -> None:
        """Act; `module.step` counts the step just done."""
