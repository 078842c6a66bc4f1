import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from qhybrid_circuits import RequestError, VariationalCircuit
from qhybrid_runtime.checks import check_whole
from qhybrid_runtime.gradients.method import Point, needed_parameters
from qhybrid_runtime.gradients.probes import Probes, ProbingMethod, side_by_side
from qhybrid_runtime.share import place_of

#: Sets of weights up to which each is a PUB of its own. Lowering a circuit with its weights bound
#: saves two-qubit gates, but takes time for each set.
_FEW = 8


@dataclass(frozen=True)
class Spsa(ProbingMethod):
    """Simultaneous perturbation: two values of the backend, whatever the number of parameters.

    Spall, IEEE Trans. Autom. Control 37, 332 (1992), equation (2.2): all parameters are moved at
    once, each up or down by chance, and the slope along that direction is divided by each one's
    move. Inputs are moved in each sample on their own, weights in all samples alike: a few sets
    of weights are as many PUBs of one job, so that they can be bound before a circuit is lowered.

    The expected gradient is that of the backend's own values, smoothed over the perturbation: a
    bias of second order in it. A single one is mostly noise, its size growing with the square root
    of the number of parameters: small learning rates, large batches or more `samples` average it.

    The draws follow from the seed and the circuit's `RandomStream`; see `continue_at`.

    Attributes:
        perturbation: How far each parameter is moved, as the angle in radians by which the gate
            that it turns fastest then turns: a weight that counts whole turns is moved by
            `perturbation / 2 pi`. A feature of an amplitude encoding is moved by that times half of
            the length of all features. Where no gate turns in proportion, it is the parameter's own
            change. Larger ones have less shot noise, and more bias.
        samples: Draws that are averaged, each of two parameter sets per sample.
        seed: Seed of the draws.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import Spsa, get_backend, quantum_layer
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> layer = quantum_layer(circuit, get_backend("statevector"), Spsa(samples=4))
        >>> layer(torch.zeros(5, 4)).sum().backward()
        >>> layer.weight.grad.shape
        torch.Size([8])
    """

    name: ClassVar[str] = "spsa"

    perturbation: float = 0.1
    samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            RequestError: One is out of range.
        """
        if not 0 < self.perturbation < math.inf:
            raise RequestError(
                "Argument `perturbation` of gradient 'spsa' must be a positive number of radians, "
                f"but is {self.perturbation!r}"
            )
        for option, least in (("samples", 1), ("seed", 0)):
            check_whole(f"`{option}` of gradient 'spsa'", getattr(self, option), least)

    def probes(self, point: Point) -> Probes:
        circuit, here = point.circuit, side_by_side(point)
        moves = self._moves(point)
        if not moves.any():
            moves = moves[:0]  # values around here are all the same, and not worth a job
        pairs = np.stack([here + moves, here - moves], axis=1)
        around = pairs.reshape(2 * len(moves), *here.shape)

        def combine(numbers: np.ndarray) -> np.ndarray:
            differences = numbers[0::2] - numbers[1::2]
            still = moves == 0
            slopes = differences[..., None] / np.where(still, 1, 2 * moves)
            return np.asarray(np.where(still, 0, slopes).sum(axis=0) / self.samples)

        apart = len(around) <= _FEW and moves[..., point.inputs.shape[1] :].any()
        pubs = len(around) if apart else 1
        return Probes(circuit.circuit, around[..., circuit.active], pubs, combine)

    def _moves(self, point: Point) -> np.ndarray:
        """Return the perturbations of each sample, shape (samples, B, n_inputs + n_weights)."""
        generator = point.stream.draw(self.seed)
        (samples, features), weights = point.inputs.shape, len(point.weights)
        # Weights are drawn first, so that their moves do not depend on the size of the batch.
        by_weights = generator.integers(0, 2, (self.samples, 1, weights)) * 2.0 - 1
        batch, own = place_of(samples, point.share)
        by_inputs = generator.integers(0, 2, (self.samples, batch, features))[:, own] * 2.0 - 1
        by_weights = by_weights.repeat(samples, axis=1)
        signs = np.dstack([by_inputs * point.by_inputs, by_weights * point.by_weights])
        return np.asarray(signs * point.circuit.active * self.perturbation / _speeds(point))

    def parameter_sets(
        self, variational: VariationalCircuit, *, by_inputs: bool = True, by_weights: bool = True
    ) -> int:
        needed = needed_parameters(variational, by_inputs, by_weights)
        moved = any(variational.circuit.has_parameter(parameter) for parameter in needed)
        return 2 * self.samples if moved else 0


def _speeds(point: Point) -> np.ndarray:
    """Return by how many radians each input's and weight's fastest gate turns with it, (B, n)."""
    here = side_by_side(point)
    program, split = point.circuit.program, point.inputs.shape[1]
    fastest = np.zeros_like(here)
    fastest += program.data_angles.largest_slopes()
    by_weights = program.weight_angles.largest_slopes()
    fastest[:, split:] = np.maximum(fastest[:, split:], by_weights)
    for rates in program.amplitudes.rates(torch.as_tensor(here)):
        # A rotation by an angle moves the state by half of it.
        fastest = np.maximum(fastest, 2 * rates.numpy())
    # All samples share their weights.
    fastest[:, split:] = fastest[:, split:].max(axis=0, initial=0)
    return np.where(fastest > 0, fastest, 1.0)
