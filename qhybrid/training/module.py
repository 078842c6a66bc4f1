"""The loss of a batch as one module, which Lightning Fabric casts and distributes as a whole."""

import torch
from torch import Tensor, nn

from qhybrid.data.dataset import ImageDataset
from qhybrid.diffusion.noise import GaussianNoise, NoiseSource
from qhybrid.models.rows import MODELS
from qhybrid.ranks import Ranks, SharedModel
from qhybrid.settings.config import Config
from qhybrid.training.batches import NOISE, derive_seed
from qhybrid_runtime import continue_at


class DenoisingModule(nn.Module):
    """A network with the loss of its diffusion process.

    Attributes:
        model: The network.
        noise_schedule: The noise of each timestep.
        noise: Where the noise of training and of its samples comes from.
        process: What the network predicts: the loss, and how images are drawn.
    """

    def __init__(self, model: nn.Module, dataset: ImageDataset, config: Config) -> None:
        """Put a network together with the process that its row names.

        The data set's classes are told to the model as numbers from 0, all as 0 to a model that is
        to know none.
        """
        super().__init__()
        self.model, self.noise_schedule = model, config.diffusion.schedule_spec
        self.noise: NoiseSource = GaussianNoise()
        self._class_ids: Tensor
        class_ids = torch.tensor(sorted(dataset.class_names))
        self.register_buffer("_class_ids", class_ids, persistent=False)
        self._told = config.model.classes is None
        info, count = MODELS[config.model.name].process, len(class_ids) if self._told else None
        self.process = info.build(self.noise_schedule, config.diffusion.weighting, count)
        self.process.distance = config.diffusion.distance
        self.process.bind(model)
        self._seed, self._generator = config.training.seed, torch.Generator()

    def forward(
        self, images: Tensor, ids: Tensor, number: int, ranks: Ranks | None = None
    ) -> Tensor:
        """Return the loss of one batch, a scalar.

        Args:
            images: (B, C, H, W) in [-1, 1].
            ids: The data set's own label ids, (B,).
            number: Of the batch, from 0 over the whole run; times and noise depend on it and on
                the seed alone.
            ranks: The processes that share the batch, each of which is given all of it.
        """
        self._generator.manual_seed(derive_seed(self._seed, NOISE, number))
        continue_at(self.model, number)
        labels = self.classes_of(ids)
        model = self.model if ranks is None else SharedModel(self.model, ranks)
        return self.process.loss(model, images, labels, self._generator, self.noise)

    def classes_of(self, ids: Tensor) -> Tensor:
        """Return the numbers, from 0, of the classes that the data set calls `ids`, (B,)."""
        return torch.searchsorted(self._class_ids, ids) if self._told else torch.zeros_like(ids)
