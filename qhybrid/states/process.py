"""The diffusion process of models of quantum states, as training and sampling take it."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.process import DENSITY, Draw, Process
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.states.decoherence import DecoherenceProcess
from qhybrid.states.density import density_matrices
from qhybrid.states.depolarizing import DepolarizingProcess
from qhybrid.states.forward import ForwardProcess
from qhybrid.states.objective import state_loss
from qhybrid.states.reverse import with_outcome


class DensityProcess(Process):
    """Noise on density matrices in training; in sampling every step, with outcomes drawn.

    A sample starts as a Haar-random pure state, which averages to I/d, and stays pure: each step
    draws the outcome of its ancillas (Jo et al. 2026, section 2.2).
    """

    info = DENSITY

    def __init__(
        self, schedule: ScheduleSpec, weighting: P2Weighting, classes: int | None = None
    ) -> None:
        """Let the schedule say how much noise there is; the loss has no weights."""
        super().__init__(schedule, weighting, classes)
        self._forward: dict[int, ForwardProcess] = {}

    def forward(self, num_qubits: int) -> ForwardProcess:
        """Return what adds noise to density matrices of so many qubits.

        Depolarizing noise, with the betas of the schedule for the probabilities p_t; or the
        decoherence of a QPU, of as much in each step.

        Raises:
            RequestError: The QPU does not have such qubits.
        """
        if num_qubits not in self._forward:
            schedule = self.schedule
            self._forward[num_qubits] = (
                DepolarizingProcess.from_schedule(schedule)
                if schedule.decoherence is None
                else DecoherenceProcess.on_fake_qpu(schedule.decoherence, num_qubits, schedule)
            )
        return self._forward[num_qubits]

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        """Return the loss of denoising and that of generation, for density matrices (B, d, d)."""
        model_of_states: Any = model
        reverse, loss = model_of_states.reverse, self.distance or "fidelity"
        forward = self.forward(reverse.num_qubits)
        return state_loss(reverse, forward, images, generator, loss=loss)

    @torch.no_grad()
    def chain(self, model: Callable[..., Any], draw: Draw) -> Iterator[Tensor]:
        """Yield Haar-random pure states, then the states after each step, see `to_real`.

        `model` has the reverse process as `reverse`.
        """
        reverse: Any = model
        shape = (1, *draw.shape)
        drawn = torch.cat([stream.normal(shape) for stream in draw.streams()]).double()
        chosen = [torch.rand(draw.steps, generator=each) for each in draw.generators]
        uniform = torch.stack(chosen, dim=1).to(draw.device, torch.float64)
        states = density_matrices(to_complex(drawn).to(draw.device))
        yield to_real(states)
        for parts, numbers in zip(reverse.reverse.instruments().flip(0), uniform, strict=True):
            states = with_outcome(parts, states, numbers)
            yield to_real(states)


def to_real(states: Tensor) -> Tensor:
    """Return pure density matrices (B, d, d) as state vectors (B, 2, d, 1), real and imaginary.

    The largest amplitude is positive. Amplitudes are in [-1, 1], as pixels are.
    """
    largest = states.diagonal(dim1=-2, dim2=-1).real.argmax(-1)
    columns = states.gather(-1, largest[:, None, None].expand(*states.shape[:2], 1))
    vectors = columns / columns.abs().square().sum(1, keepdim=True).sqrt()
    return torch.view_as_real(vectors[..., 0]).movedim(-1, 1)[..., None]


def to_complex(states: Tensor) -> Tensor:
    """Return real tensors (B, 2, d, 1) as complex vectors (B, d) in double precision."""
    return torch.complex(*states[..., 0].double().unbind(1))
