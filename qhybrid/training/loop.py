"""The training loop: what happens to a batch, and after how many of them the weights step.

The epochs are marks on an endless stream of batches, so that a run resumes after any step by
starting the stream there. Lightning Fabric moves, casts, clips and averages gradients over
processes; nothing else of Lightning is in use.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from torch.utils.data import DataLoader

from qhybrid.fabric import Fabric
from qhybrid.ranks import Ranks
from qhybrid.training.batches import ResidentBatches
from qhybrid.training.optimizers import clipped_part
from qhybrid.training.state import StepHook, TrainingState


def fit(
    fabric: Fabric,
    state: TrainingState,
    batches: DataLoader[Any] | ResidentBatches,
    hooks: Sequence[StepHook],
    *,
    clip: float,
    ranks: Ranks | None = None,
) -> None:
    """Train from the state's step, with the batches from there on, to the last one.

    Hooks act in their order after each step, and an exception of theirs ends the run. `clip` is the
    largest 2-norm of the gradient of Adam's weights; 0 does not clip. Where there are several
    processes, the fabric has launched them, and each is given the same batches.
    """
    module, optimizer = fabric.setup(state.module, state.optimizer)
    accumulate = state.plan.accumulate
    loader = (
        batches
        if isinstance(batches, ResidentBatches)
        else fabric.setup_dataloaders(batches, use_distributed_sampler=False)
    )
    clipped = clipped_part(state.optimizer)
    with ExitStack() as stack:
        for hook in hooks:
            stack.enter_context(hook.running(state))
        for number, (images, ids) in enumerate(loader, start=state.step * accumulate):
            within_step = (number + 1) % accumulate != 0
            with fabric.no_backward_sync(module, enabled=within_step):
                loss = module(images, ids, number, ranks)
                fabric.backward(loss / accumulate)
            state.add_loss(loss)
            if within_step:
                continue
            if clip:
                # A loss that is not finite is for the hooks to tell.
                fabric.clip_gradients(module, clipped, max_norm=clip, error_if_nonfinite=False)
            optimizer.step()
            optimizer.zero_grad()
            state.end_step()
            for hook in hooks:
                hook.after_step(state)
