"""The training loop's mathematics as Lightning wants it."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from qhybrid.data.dataset import ImageDataset
from qhybrid.diffusion.ema import Ema
from qhybrid.diffusion.noise import GaussianNoise, NoiseSource
from qhybrid.models.rows import MODELS
from qhybrid.settings.config import Config
from qhybrid.training.batches import NOISE, BatchStream, StepPlan, derive_seed
from qhybrid.training.losses import LossMeter
from qhybrid.training.optimizers import JointOptimizer, make_optimizer
from qhybrid.training.schedule import learning_rate_factor
from qhybrid_runtime import continue_at

STATE_KEY = "qhybrid"
"""Entry of a checkpoint with what Lightning does not know of."""


class DenoisingModule(L.LightningModule):
    """The optimizer on the model's objective, with an EMA of the weights.

    To Lightning the whole run is one epoch: the epochs here are marks on an endless stream of
    batches, so that a run resumes after any step by starting the stream there, and no loop state
    needs to be restored. Steps are counted here for the same reason.

    Attributes:
        model: The network.
        ema: The moving average of its weights.
        step: Optimizer steps done.
        learning_rate: Adam's in the last of them.
        noise: Where the noise of training and of its samples comes from.
        process: What the model predicts: the loss, and how images are drawn.
        interval_loss: Losses since the last row of metrics.csv.
        epoch_loss: Losses since the last epoch ended.
    """

    def __init__(
        self, model: nn.Module, dataset: ImageDataset, config: Config, plan: StepPlan
    ) -> None:
        """Prepare training from step 0.

        Args:
            model: Takes what `ModelSpec` says.
            dataset: Images (C, H, W) in [-1, 1] with labels.
            config: The run's configuration.
            plan: The run's steps and epochs.
        """
        super().__init__()
        diffusion = config.diffusion
        self.model, self.plan = model, plan
        self.ema = Ema(model, config.ema.spec)
        self.schedule = diffusion.schedule_spec
        self.step = 0
        self.learning_rate = 0.0
        self.noise: NoiseSource = GaussianNoise()
        self.interval_loss, self.epoch_loss = LossMeter(), LossMeter()
        self._dataset, self._settings = dataset, config.training
        self._natural_gradient = config.natural_gradient
        self._class_ids: Tensor
        class_ids = torch.tensor(sorted(dataset.class_names))
        self.register_buffer("_class_ids", class_ids, persistent=False)
        info = MODELS[config.model.name].process
        self.process = info.build(self.schedule, diffusion.weighting, len(dataset.class_names))
        self._generator = torch.Generator()

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """The batches from the present step to the end of the run."""
        plan, settings = self.plan, self._settings
        stream = BatchStream(
            plan.images,
            plan.batch_size,
            seed=settings.seed,
            first=self.step * plan.accumulate,
            stop=plan.total_steps * plan.accumulate,
        )
        return DataLoader(
            self._dataset,
            batch_sampler=stream,
            num_workers=settings.workers,
            pin_memory=self.device.type == "cuda",
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer, and the learning rate of each step."""
        optimizer = make_optimizer(self.model, self._settings, self._natural_gradient)
        scheduler = LambdaLR(optimizer, self._factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of one batch; its times and noise depend on the seed and its number alone."""
        number = self.step * self.plan.accumulate + batch_idx % self.plan.accumulate
        self._generator.manual_seed(derive_seed(self._settings.seed, NOISE, number))
        continue_at(self.model, number)
        images, ids = batch
        labels = torch.searchsorted(self._class_ids, ids)
        loss = self.process.loss(self.model, images, labels, self._generator, self.noise)
        self.interval_loss.add(loss, self.step + 1)
        self.epoch_loss.add(loss, self.step + 1)
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient of Adam's weights; the metric sets the scale of the circuits'."""
        adam = optimizer.members[0] if isinstance(optimizer, JointOptimizer) else optimizer
        self.clip_gradients(adam, gradient_clip_val, gradient_clip_algorithm)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Step the weights, then their average."""
        self.learning_rate = float(optimizer.param_groups[0]["lr"])
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.ema.step(self.model, self.step)
        self.step += 1

    def between_steps(self, batch_idx: int) -> bool:
        """Whether a batch was the last of its optimizer step."""
        return (batch_idx + 1) % self.plan.accumulate == 0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of, and leave out its loops, which start afresh."""
        checkpoint.pop("loops", None)
        checkpoint[STATE_KEY] = {
            "step": self.step,
            "ema": self.ema.state_dict(),
            "interval_loss": self.interval_loss.state_dict(),
            "epoch_loss": self.epoch_loss.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what `on_save_checkpoint` added."""
        state = checkpoint[STATE_KEY]
        self.step = state["step"]
        self.ema.load_state_dict(state["ema"])
        self.interval_loss.load_state_dict(state["interval_loss"])
        self.epoch_loss.load_state_dict(state["epoch_loss"])

    def _factor(self, step: int) -> float:
        return learning_rate_factor(
            step,
            schedule=self._settings.lr_schedule,
            warmup_steps=self._settings.warmup_steps,
            total_steps=self.plan.total_steps,
        )
