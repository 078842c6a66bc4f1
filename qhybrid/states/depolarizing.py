from collections.abc import Sequence

import torch
from torch import Tensor

from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.states.density import check_density_matrices
from qhybrid_circuits.errors import RequestError, ShapeError


class DepolarizingProcess:
    """The forward process rho_t = (1 - p_t) rho_(t-1) + p_t I/d (Jo et al. 2026, equation 9).

    Attributes:
        probabilities: p_1 to p_T, shape (T,), float64.
        alphas: alpha_0 = 1 to alpha_T, the products of 1 - p, shape (T + 1,), float64.
    """

    def __init__(self, probabilities: Sequence[float] | Tensor) -> None:
        """Store the probabilities p_1 to p_T.

        Raises:
            RequestError: There are none, or one is not in [0, 1].
        """
        self.probabilities = torch.as_tensor(probabilities, dtype=torch.float64)
        if self.probabilities.dim() != 1 or not len(self.probabilities):
            raise RequestError("Argument `probabilities` must be at least one number, p_1 to p_T")
        if not bool(((self.probabilities >= 0) & (self.probabilities <= 1)).all()):
            raise RequestError("Argument `probabilities` must be in [0, 1], all of them")
        one = torch.ones(1, dtype=torch.float64)
        self.alphas = torch.cat([one, (1 - self.probabilities).cumprod(0)])

    @classmethod
    def from_schedule(cls, spec: ScheduleSpec) -> "DepolarizingProcess":
        """Take the betas of an image schedule as p; alpha is then its alpha-bar.

        Few steps of the linear schedule leave much of the state: they need a larger `beta_end`.
        """
        alpha_bar = noise_scheduler(spec).alphas_cumprod.double()
        before = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])
        return cls(1 - alpha_bar / before)

    @property
    def steps(self) -> int:
        """T."""
        return len(self.probabilities)

    def step(self, states: Tensor, t: int) -> Tensor:
        """Return rho_t of rho_(t-1), shape (..., d, d), for t in 1 to T (equation 9).

        Raises:
            ShapeError: `t` is out of range, or the states are no square matrices.
            RequestError: They are no density matrices.
        """
        check_density_matrices("states", states)
        self._check_times(torch.tensor(t), least=1)
        return _mixed(states, 1 - self.probabilities[t - 1])

    def noisy(self, states: Tensor, t: Tensor | int) -> Tensor:
        """Return rho_t of rho_0, shape (..., d, d) (equation 10).

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
        return _mixed(states, self.alphas[times])

    def _check_times(self, times: Tensor, least: int) -> None:
        if times.numel() and not least <= int(times.min()) <= int(times.max()) <= self.steps:
            raise ShapeError(
                f"Argument `t` must be from {least} to the {self.steps} steps of the process, but "
                f"is {times.tolist()}"
            )


def _mixed(states: Tensor, kept: Tensor) -> Tensor:
    dimension = states.shape[-1]
    share = kept[..., None, None]
    identity = torch.eye(dimension, dtype=states.dtype, device=states.device)
    return share * states + (1 - share) * identity / dimension
