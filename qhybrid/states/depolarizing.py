from collections.abc import Sequence

import torch
from torch import Tensor

from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.states.forward import ForwardProcess
from qhybrid_circuits.errors import RequestError


class DepolarizingProcess(ForwardProcess):
    """The forward process rho_t = (1 - p_t) rho_(t-1) + p_t I/d (Jo et al. 2026, equation 9).

    Then rho_t = alpha_t rho_0 + (1 - alpha_t) I/d (equation 10).

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
        self.steps = len(self.probabilities)

    @classmethod
    def from_schedule(cls, spec: ScheduleSpec) -> "DepolarizingProcess":
        """Take the betas of an image schedule as p; alpha is then its alpha-bar.

        Few steps of the linear schedule leave much of the state: they need a larger `beta_end`.
        """
        alpha_bar = noise_scheduler(spec).alphas_cumprod.double()
        before = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])
        return cls(1 - alpha_bar / before)

    def _step(self, states: Tensor, t: int) -> Tensor:
        return _mixed(states, 1 - self.probabilities[t - 1])

    def _noisy(self, states: Tensor, times: Tensor) -> Tensor:
        return _mixed(states, self.alphas[times])


def _mixed(states: Tensor, kept: Tensor) -> Tensor:
    dimension = states.shape[-1]
    share = kept[..., None, None]
    identity = torch.eye(dimension, dtype=states.dtype, device=states.device)
    return share * states + (1 - share) * identity / dimension
