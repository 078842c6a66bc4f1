"""The learning rate as a factor of its highest value."""

import math


def learning_rate_factor(step: int, *, schedule: str, warmup_steps: int, total_steps: int) -> float:
    """Return the factor for one optimizer step.

    A run that is extended on resuming has more total steps: from there on, the cosine is that of
    the longer run, and the learning rate jumps up to it.

    Args:
        step: Optimizer steps done before it.
        schedule: `constant`, or `cosine` decay from the end of the warm-up to the last step.
        warmup_steps: Steps over which the factor rises linearly to 1.
        total_steps: Optimizer steps of the whole run.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
