"""Where a run that diverged lost its finite numbers: its last steps are done again and watched."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from qhybrid.training.state import StepHook, TrainingState
from qhybrid_circuits.errors import NotFiniteError
from qhybrid_runtime.bank import CircuitBank

MOST_STEPS = 1000
"""Steps that are done again at most."""


class Found(Exception):
    """Ends the steps that are done again."""


class Watch(StepHook):
    """Looks at all that a model computes, and at its weights after each step.

    Attributes:
        step: Step in which a number was not finite first; 0 for none.
        where: The tensor that it was in, for people.
        angles: Largest weight of a circuit while all were finite; None without circuits.
    """

    def __init__(self, last: int) -> None:
        """Look at the steps up to the `last`."""
        self._last = last
        self.step, self.where = 0, ""
        self.angles: float | None = None

    @contextmanager
    def running(self, state: TrainingState) -> Iterator[None]:
        """Look at the outputs of all modules, which come in the order of the computation."""
        handles = [
            module.register_forward_hook(self._hook(name, module, state))
            for name, module in state.model.named_modules()
        ]
        try:
            yield
        except NotFiniteError as error:
            # Circuits refuse such numbers before a hook can see what comes of them.
            self.step, self.where = state.step + 1, f"what circuits are given: {error}"
            raise Found from error
        finally:
            for handle in handles:
                handle.remove()

    def after_step(self, state: TrainingState) -> None:
        """Look at the weights."""
        bad = [name for name, weight in state.model.named_parameters() if not _is_finite(weight)]
        if bad:
            more = f" and {len(bad) - 1} others" if len(bad) > 1 else ""
            self._end(state.step, f"the weights {bad[0]}{more}, by their gradient,")
        banks = (each for each in state.model.modules() if isinstance(each, CircuitBank))
        sizes = [float(w.detach().abs().max()) for b in banks for w in b.parameters() if w.numel()]
        self.angles = max(sizes, default=None)
        if state.step >= self._last:
            raise Found

    def _hook(
        self, name: str, module: nn.Module, state: TrainingState
    ) -> Callable[[nn.Module, Any, Any], None]:
        what = "the circuits' values" if isinstance(module, CircuitBank) else "the output"

        def look(_module: nn.Module, _inputs: Any, outputs: Any) -> None:
            for each in outputs if isinstance(outputs, list | tuple) else [outputs]:
                if isinstance(each, Tensor) and not _is_finite(each):
                    self._end(state.step + 1, f"{what} of {name or 'the model'}")

        return look

    def _end(self, step: int, where: str) -> None:
        self.step, self.where = step, where
        raise Found


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
