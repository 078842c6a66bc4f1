"""Training: `train` and what can end it early; torch and lightning load when it starts."""

from qhybrid.training.outcome import Interrupted, TrainingDiverged
from qhybrid.training.train import resumed_config, train

__all__ = ["Interrupted", "TrainingDiverged", "resumed_config", "train"]
