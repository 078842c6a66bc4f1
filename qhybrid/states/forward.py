from abc import ABC, abstractmethod

import torch
from torch import Tensor

from qhybrid.states.density import check_density_matrices
from qhybrid_circuits.errors import ShapeError


class ForwardProcess(ABC):
    """Noise on density matrices in T steps, each of which is a channel.

    Attributes:
        steps: T.
    """

    steps: int

    def step(self, states: Tensor, t: int) -> Tensor:
        """Return rho_t of rho_(t-1), shape (..., d, d), for t in 1 to T.

        Raises:
            ShapeError: `t` is out of range, or the states are no square matrices.
            RequestError: They are no density matrices.
        """
        check_density_matrices("states", states)
        self._check_times(torch.tensor(t), least=1)
        return self._step(states, t)

    def noisy(self, states: Tensor, t: Tensor | int) -> Tensor:
        """Return rho_t of rho_0, shape (..., d, d).

        Args:
            states: rho_0, (..., d, d).
            t: 0 to T, one for all or one for each state (...).

        Raises:
            ShapeError: `t` is out of range, or shapes do not fit.
            RequestError: The states are no density matrices.
        """
        check_density_matrices("states", states)
        times = torch.as_tensor(t)
        self._check_times(times, least=0)
        return self._noisy(states, times)

    @abstractmethod
    def _step(self, states: Tensor, t: int) -> Tensor: ...

    @abstractmethod
    def _noisy(self, states: Tensor, times: Tensor) -> Tensor: ...

    def _check_times(self, times: Tensor, least: int) -> None:
        if times.numel() and not least <= int(times.min()) <= int(times.max()) <= self.steps:
            raise ShapeError(
                f"Argument `t` must be from {least} to the {self.steps} steps of the process, but "
                f"is {times.tolist()}"
            )
