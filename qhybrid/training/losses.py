"""Running means of the loss that cost no synchronization with a GPU."""

import torch
from torch import Tensor


class LossMeter:
    """The mean of the losses since the last reset, and the first step that was not finite."""

    def __init__(self) -> None:
        """Start with no losses."""
        self._total: Tensor | float = 0.0
        self._first_bad: Tensor | None = None
        self._count = 0

    def add(self, loss: Tensor, step: int) -> None:
        """Take in the loss, a scalar, of one batch of an optimizer step (from 1)."""
        loss = loss.detach()
        self._total = self._total + loss.double()
        self._count += 1
        bad = torch.where(torch.isfinite(loss), torch.inf, float(step))
        self._first_bad = bad if self._first_bad is None else torch.minimum(self._first_bad, bad)

    def first_bad_step(self) -> int | None:
        """Return the first step whose loss was infinite or NaN; None as long as there is none."""
        step = float("inf") if self._first_bad is None else float(self._first_bad)
        return None if step == float("inf") else int(step)

    def mean(self) -> float:
        """Return the mean of the losses so far; NaN without any."""
        return float(self._total) / self._count if self._count else float("nan")

    def take_mean(self) -> float:
        """Return the mean of the losses so far; the next mean begins here."""
        mean = self.mean()
        self._total, self._count = 0.0, 0
        return mean

    def state_dict(self) -> dict[str, float]:
        """Return what to save."""
        return {"total": float(self._total), "count": self._count}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from what was saved."""
        self._total, self._count = state["total"], int(state["count"])
