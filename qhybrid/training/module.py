"""The loss of a batch as one module, which Lightning Fabric casts and distributes as a whole."""

import torch
from torch import Tensor, nn

from qhybrid.data.dataset import ImageDataset
from qhybrid.diffusion.noise import GaussianNoise, NoiseSource
from qhybrid.diffusion.objective import objective
from qhybrid.diffusion.state_sampling import StateSampling
from qhybrid.models.spec import has_states
from qhybrid.settings.config import Config
from qhybrid.settings.specs import P2Weighting
from qhybrid.training.batches import NOISE, derive_seed
from qhybrid_runtime import continue_at


class DenoisingModule(nn.Module):
    """A network under its objective.

    Attributes:
        model: The network.
        noise_schedule: The noise of each timestep.
        noise: Where the noise of training and of its samples comes from.
        objective: The loss.
        states: How a model of states is sampled; None for other models.
    """

    def __init__(self, model: nn.Module, dataset: ImageDataset, config: Config) -> None:
        """Put a network under the objective that is its own.

        Args:
            model: Takes what `ModelSpec` says.
            dataset: Its classes are told to the model as numbers from 0.
            config: The run's configuration.
        """
        super().__init__()
        self.model, self.noise_schedule = model, config.diffusion.schedule_spec
        self.noise: NoiseSource = GaussianNoise()
        self._class_ids: Tensor
        class_ids = torch.tensor(sorted(dataset.class_names))
        self.register_buffer("_class_ids", class_ids, persistent=False)
        states = has_states(config.model.name)
        weighting = P2Weighting(config.diffusion.p2_k, config.diffusion.p2_gamma)
        self.objective = objective(self.noise_schedule, weighting, states=states)
        self.states = StateSampling(self.noise_schedule, len(class_ids)) if states else None
        self._seed, self._generator = config.training.seed, torch.Generator()

    def forward(self, images: Tensor, ids: Tensor, number: int) -> Tensor:
        """Return the loss of one batch, a scalar.

        Args:
            images: (B, C, H, W) in [-1, 1].
            ids: The data set's own label ids, (B,).
            number: Of the batch, from 0 over the whole run; times and noise depend on it and on
                the seed alone.
        """
        self._generator.manual_seed(derive_seed(self._seed, NOISE, number))
        continue_at(self.model, number)
        labels = torch.searchsorted(self._class_ids, ids)
        return self.objective.loss(self.model, images, labels, self._generator, self.noise)
