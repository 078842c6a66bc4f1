from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.health.derivatives import Derivatives, gradient_variance, weight_rank
from qhybrid_runtime.health.states import entangling_capability, expressibility, random_states

#: Random points at which a derivative that counts as zero is zero.
POINTS = 5

#: Points over which the variance of derivatives is taken.
_VARIANCE_POINTS = 48

#: Amplitudes of all states together that expressibility may take, and how many inputs they have.
_AMPLITUDES, _MOST_WEIGHTS, _INPUTS = 1 << 21, 64, 8

#: Work, in amplitudes times gates times samples, up to which the rank is computed.
_RANK_WORK = 1 << 33

#: Figures that are not computed for large circuits.
_FIGURES = ("rank", "gradient_variance", "expressibility", "entangling_capability")


@dataclass(frozen=True, kw_only=True)
class CircuitHealth:
    """The dead weights and inputs of a circuit, and figures of how well it can be trained.

    Attributes:
        num_weights: Weights of the circuit.
        num_inputs: Inputs of the circuit.
        dead_weights: Indices of the weights that no output depends on.
        dead_inputs: Indices of the inputs that no output depends on.
        rank: Directions in weight space that change the circuit as a function of its inputs; None
            where it was not computed.
        gradient_variance: Mean over outputs and weights of the variance of d output / d weight over
            random inputs and weights, outputs scaled to at most 1; pairs that are zero everywhere
            are left out. None where it was not computed, or there is no other pair.
        expressibility: Divergence of the states' fidelities from those of Haar-random states, in
            nats; 0 is the most expressive. None where it was not computed.
        entangling_capability: Mean Meyer-Wallach measure, 0 to 1. None where it was not computed.

    Example:
        >>> from qhybrid_runtime import CircuitHealth
        >>> health = CircuitHealth(num_weights=3, num_inputs=1, dead_weights=(2,), dead_inputs=())
        >>> health.to_dict()["dead_weights"]
        1
    """

    num_weights: int
    num_inputs: int
    dead_weights: tuple[int, ...]
    dead_inputs: tuple[int, ...]
    rank: int | None = None
    gradient_variance: float | None = None
    expressibility: float | None = None
    entangling_capability: float | None = None

    @property
    def redundant_weights(self) -> int | None:
        """Weights that could be left out without losing a function, the dead ones included.

        That is all of them minus the rank; None where the rank was not computed.
        """
        return None if self.rank is None else self.num_weights - self.rank

    def to_dict(self) -> dict[str, Any]:
        """Return counts and figures as values that JSON has; `dead_weights` is a count there."""
        return {
            "weights": self.num_weights,
            "dead_weights": len(self.dead_weights),
            "dead_weight_indices": list(self.dead_weights),
            "inputs": self.num_inputs,
            "dead_inputs": len(self.dead_inputs),
            "dead_input_indices": list(self.dead_inputs),
            "rank": self.rank,
            "redundant_weights": self.redundant_weights,
            **{name: getattr(self, name) for name in _FIGURES[1:]},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CircuitHealth":
        """Return what `to_dict` was called on."""
        return cls(
            num_weights=values["weights"],
            num_inputs=values["inputs"],
            dead_weights=tuple(values["dead_weight_indices"]),
            dead_inputs=tuple(values["dead_input_indices"]),
            **{name: values[name] for name in _FIGURES},
        )


def circuit_health(variational: VariationalCircuit, *, seed: int = 0) -> CircuitHealth:
    """Examine a circuit in exact simulation, whatever QPU it is for.

    A weight or input is dead if the derivative of every output by it, in double precision, is below
    1e-10 of the output's largest possible value at five random points; weights that stand in no
    gate are dead too. Derivatives of circuits are trigonometric polynomials: one that is not zero
    everywhere is zero at a random point with probability zero. Inputs and weights are uniform in
    [-pi, pi), drawn from `seed`.

    Args:
        variational: The circuit.
        seed: Of the random points.

    Raises:
        CircuitError: A gate is not known to the engine.
        RequestError: The circuit's state does not fit into memory.

    Example:
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import circuit_health
        >>> circuit = build_ansatz("hqconv", channels=2, layers=1, variant="released")
        >>> health = circuit_health(circuit)
        >>> len(health.dead_weights), health.num_weights
        (16, 18)
    """
    rng = np.random.default_rng(seed)
    derivatives = Derivatives(variational)
    dead_weights, dead_inputs = dead_parameters(derivatives, rng)
    return CircuitHealth(
        num_weights=variational.num_weights,
        num_inputs=variational.num_inputs,
        dead_weights=dead_weights,
        dead_inputs=dead_inputs,
        **_training_figures(derivatives, rng),
    )


def dead_weights(
    variational: VariationalCircuit, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[int, ...]:
    """Return the indices of the weights that no output depends on, as `circuit_health` finds them.

    In float32, derivatives below 1e-5 count as zero; its findings should be confirmed in float64.

    Args:
        variational: The circuit.
        seed: Of the random points.
        dtype: The precision of the derivatives.

    Example:
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime.health import dead_weights
        >>> dead_weights(build_ansatz("qattention", qubits=2, layers=1, variant="published"))
        (0, 1)
    """
    return dead_parameters(Derivatives(variational, dtype), np.random.default_rng(seed))[0]


def dead_parameters(
    derivatives: Derivatives, rng: np.random.Generator
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the dead weights and the dead inputs."""
    points = derivatives.at(derivatives.random_point(POINTS, rng))
    dead = np.abs(points).max(axis=(0, 1), initial=0.0) < derivatives.dead_below
    split = derivatives.variational.num_inputs
    weights, inputs = np.flatnonzero(dead[split:]), np.flatnonzero(dead[:split])
    return tuple(weights.tolist()), tuple(inputs.tolist())


def _training_figures(derivatives: Derivatives, rng: np.random.Generator) -> dict[str, Any]:
    variational = derivatives.variational
    figures: dict[str, Any] = {}
    gates, width = len(variational.circuit.data), variational.num_qubits
    sweeps = 4 * variational.num_weights + _VARIANCE_POINTS * variational.num_outputs
    if gates * sweeps << width <= _RANK_WORK:
        points = derivatives.at(derivatives.random_point(_VARIANCE_POINTS, rng))
        figures["gradient_variance"] = gradient_variance(points[:, :, variational.num_inputs :])
        figures["rank"] = weight_rank(derivatives, 2, rng)
    inputs = _INPUTS if variational.num_inputs else 1
    weights = min(_MOST_WEIGHTS * _INPUTS // inputs, (_AMPLITUDES >> width) // inputs)
    if weights > 1 and variational.num_weights:
        reached = random_states(variational, inputs, weights, rng)
        figures["expressibility"] = expressibility(reached)
        figures["entangling_capability"] = entangling_capability(reached)
    return figures
