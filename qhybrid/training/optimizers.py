"""The optimizer of a run: Adam, alone or beside the natural gradient of the circuits' weights."""

from typing import Any

from torch import nn
from torch.optim import Adam, Optimizer

from qhybrid.settings.training_sections import NaturalGradientSection, TrainingSection
from qhybrid_runtime.natural_gradient.optimizer import QuantumNaturalGradient


class JointOptimizer(Optimizer):
    """Several optimizers, each of weights of its own, that step as one.

    Their parameter groups and states are this one's, so that a learning rate schedule and a
    checkpoint have all of them.

    Attributes:
        members: The optimizers.
    """

    def __init__(self, *members: Optimizer) -> None:
        """Join optimizers, at least one; no two have a weight in common."""
        self.members = members
        super().__init__([group for member in members for group in member.param_groups], {})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Step every member, by the gradients that there are."""
        first = 0
        for member in self.members:
            # Loading a state makes new groups and a new state.
            behind = first + len(member.param_groups)
            member.param_groups = self.param_groups[first:behind]
            member.state = self.state
            member.step()
            first = behind


def make_optimizer(
    model: nn.Module, training: TrainingSection, natural: NaturalGradientSection
) -> Optimizer:
    """Return the optimizer of a model's weights that `training.optimizer` names.

    Raises:
        RequestError: The natural gradient is asked for, and the model has no circuit.
    """
    settings: dict[str, Any] = {
        "lr": training.learning_rate,
        "betas": training.betas,
        "eps": training.eps,
    }
    if training.optimizer == "adam":
        return _adam(list(model.parameters()), **settings)
    circuits = QuantumNaturalGradient(
        model,
        natural.learning_rate,
        regularization=natural.regularization,
        block_diagonal=natural.metric == "block-diagonal",
        metric_samples=natural.samples,
        metric_every=natural.every,
    )
    theirs = {weight for group in circuits.param_groups for weight in group["params"]}
    others = [weight for weight in model.parameters() if weight not in theirs]
    return JointOptimizer(_adam(others, **settings), circuits)


def _adam(weights: list[nn.Parameter], **settings: Any) -> Adam:
    """Return Adam, which takes all weights in one call where it can: a fifth of the time there."""
    fits = all(each.is_floating_point() and each.device.type in ("cpu", "cuda") for each in weights)
    return Adam(weights, fused=fits or None, **settings)


def clipped_part(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer of the gradients to clip; the metric sets the scale of the circuits'."""
    return optimizer.members[0] if isinstance(optimizer, JointOptimizer) else optimizer
