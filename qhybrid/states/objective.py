import torch
from torch import Tensor

from qhybrid.states.density import maximally_mixed
from qhybrid.states.forward import ForwardProcess
from qhybrid.states.losses import STATE_LOSSES, StateLoss
from qhybrid.states.reverse import ReverseProcess, applied, chained
from qhybrid_circuits.errors import RequestError, UnknownNameError


def state_denoising_loss(
    reverse: ReverseProcess,
    process: ForwardProcess,
    states: Tensor,
    generator: torch.Generator,
    *,
    loss: str = "fidelity",
) -> Tensor:
    """Add noise up to uniformly drawn steps and score the reverse step against one step less noise.

    Args:
        reverse: The circuits that are trained.
        process: Adds the noise; as many steps as `reverse`.
        states: rho_0, density matrices (B, d, d).
        generator: Draws the steps.
        loss: A key of `STATE_LOSSES`.

    Returns:
        The mean over the batch, a scalar.

    Raises:
        UnknownNameError: There is no such loss.
        RequestError: The numbers of steps differ, or the states are no density matrices.
        ShapeError: The states do not fit `reverse`.

    Example:
        >>> import torch
        >>> from qhybrid.states import DepolarizingProcess, ReverseProcess, density_matrices
        >>> from qhybrid.states import random_states, state_denoising_loss
        >>> generator = torch.Generator().manual_seed(0)
        >>> reverse = ReverseProcess(1, 2, generator=generator)
        >>> process = DepolarizingProcess([0.3, 0.6])
        >>> states = density_matrices(random_states(1, 3, generator))
        >>> 0 < state_denoising_loss(reverse, process, states, generator).item() < 1
        True
    """
    measure = _measure(loss)
    if process.steps != reverse.steps:
        raise RequestError(
            f"The reverse process must have as many steps as the forward process, "
            f"{process.steps}, but has {reverse.steps}"
        )
    t = torch.randint(1, process.steps + 1, (len(states),), generator=generator)
    t = t.to(states.device)
    denoised = reverse(process.noisy(states, t), t)
    return measure(denoised, process.noisy(states, t - 1)).mean()


def state_generation_loss(
    reverse: ReverseProcess, states: Tensor, *, loss: str = "fidelity"
) -> Tensor:
    """Score what all steps make of I/d against the mean of the states, as a scalar.

    With the fidelity and one pure state it is 1 - <psi|rho_gen|psi> (Jo et al. 2026, equation 12).
    `state_denoising_loss` trains each step on states that carry the noise of the forward process;
    this one makes the steps fit each other, and errors of one the business of the next.

    Args:
        reverse: The circuits that are trained.
        states: rho_0, density matrices (B, d, d).
        loss: A key of `STATE_LOSSES`.

    Raises:
        UnknownNameError: There is no such loss.

    Example:
        >>> import torch
        >>> from qhybrid.states import ReverseProcess, density_matrices
        >>> from qhybrid.states import random_states, state_generation_loss
        >>> generator = torch.Generator().manual_seed(0)
        >>> reverse = ReverseProcess(1, 2, generator=generator)
        >>> states = density_matrices(random_states(1, 3, generator))
        >>> 0 < state_generation_loss(reverse, states).item() < 1
        True
    """
    measure = _measure(loss)
    return measure(reverse.chain()[-1], states.mean(0))


def state_loss(
    reverse: ReverseProcess,
    process: ForwardProcess,
    states: Tensor,
    generator: torch.Generator,
    *,
    loss: str = "fidelity",
) -> Tensor:
    """Return the sum of both losses; the circuits run once, in one round.

    The arguments are those of `state_denoising_loss`.
    """
    channels, measure = reverse.channels(), _measure(loss)
    t = torch.randint(1, process.steps + 1, (len(states),), generator=generator)
    t = t.to(states.device)
    denoised = applied(channels[t - 1], process.noisy(states, t))
    denoising = measure(denoised, process.noisy(states, t - 1)).mean()
    noise = maximally_mixed(reverse.num_qubits).to(states.device)
    return denoising + measure(chained(channels, noise)[-1], states.mean(0))


def _measure(loss: str) -> StateLoss:
    if loss not in STATE_LOSSES:
        raise UnknownNameError("loss of states", loss, STATE_LOSSES)
    return STATE_LOSSES[loss]
