"""Measure the fall of a gradient's variance as an ansatz grows, towards a barren plateau."""

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qhybrid_circuits import CircuitError, build_ansatz
from qhybrid_circuits.ansatz import ansatz_builder
from qhybrid_runtime.health.derivatives import Derivatives, gradient_variance

#: Random points over which a variance is taken.
_POINTS = 48

#: Names that builders have for their size, with the sizes to try.
_SIZES: Mapping[str, Sequence[int]] = {
    "channels": (1, 2, 3),
    **dict.fromkeys(("qubits", "num_qubits"), (2, 4, 6, 8, 10, 12)),
}

#: Layers to try, and the most qubits at which they are tried.
_LAYERS, _MOST_QUBITS = (1, 2, 3, 4, 6, 8), 12


@dataclass(frozen=True)
class TrendPoint:
    """The gradient's variance at one size of an ansatz.

    Attributes:
        qubits: Qubits of the circuit.
        layers: Layers of the circuit.
        variance: See `CircuitHealth.gradient_variance`.
    """

    qubits: int
    layers: int
    variance: float


@dataclass(frozen=True)
class GradientTrend:
    """The gradient's variance at growing sizes of an ansatz.

    Attributes:
        by_qubits: At growing numbers of qubits and one number of layers.
        by_layers: At growing numbers of layers and one number of qubits.
    """

    by_qubits: tuple[TrendPoint, ...]
    by_layers: tuple[TrendPoint, ...]

    @property
    def log2_per_qubit(self) -> float | None:
        """Slope of log2(variance) against qubits.

        -1 halves the variance with every qubit, which is a barren plateau (McClean et al. 2018:
        exponential decay); near 0 is none. None where there are fewer than two sizes.
        """
        return _slope([(point.qubits, point.variance) for point in self.by_qubits])

    @property
    def log2_per_layer(self) -> float | None:
        """Slope of log2(variance) against layers, None where there are fewer than two."""
        return _slope([(point.layers, point.variance) for point in self.by_layers])

    def to_dict(self) -> dict[str, Any]:
        """Return points and slopes as values that JSON has."""
        return {
            "by_qubits": [asdict(point) for point in self.by_qubits],
            "by_layers": [asdict(point) for point in self.by_layers],
            "log2_per_qubit": self.log2_per_qubit,
            "log2_per_layer": self.log2_per_layer,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GradientTrend":
        """Return what `to_dict` was called on."""
        keys = ("by_qubits", "by_layers")
        return cls(*(tuple(TrendPoint(**point) for point in values[key]) for key in keys))


def gradient_trend(ansatz: str, *, seed: int = 0, **options: Any) -> GradientTrend | None:
    """Return the gradient's variance at growing sizes of a registered ansatz.

    Args:
        ansatz: A key of `ANSATZE`.
        seed: Seed of the random inputs and weights.
        options: Of the builder, e.g. `variant="released"`; its size and layers are varied in turn,
            the other one is what the options say or the builder's default.

    Returns:
        The trend, or None where the builder has neither a size nor layers.

    Raises:
        UnknownNameError: There is no ansatz of this name.
        CircuitError: The builder refuses an option.

    Example:
        >>> from qhybrid_runtime import gradient_trend
        >>> trend = gradient_trend("basic_entangling", layers=1)
        >>> trend.by_qubits[0].qubits
        2
    """
    accepted = inspect.signature(ansatz_builder(ansatz)).parameters
    size = next((name for name in _SIZES if name in accepted), None)
    layers = int(options.get("layers", accepted["layers"].default)) if "layers" in accepted else 1

    def sizes(name: str, values: Sequence[int]) -> Iterator[TrendPoint]:
        for value in values:
            try:
                variational = build_ansatz(ansatz, **{**options, name: value})
            except CircuitError:
                continue  # The ansatz begins at a larger size.
            if variational.num_qubits > _MOST_QUBITS:
                return
            derivatives = Derivatives(variational)
            points = derivatives.at(derivatives.random_point(_POINTS, np.random.default_rng(seed)))
            variance = gradient_variance(points[:, :, variational.num_inputs :])
            depth = value if name == "layers" else layers
            if variance is not None:
                yield TrendPoint(variational.num_qubits, depth, variance)

    by_qubits = tuple(sizes(size, _SIZES[size])) if size else ()
    by_layers = tuple(sizes("layers", _LAYERS)) if "layers" in accepted else ()
    return GradientTrend(by_qubits, by_layers) if by_qubits or by_layers else None


def _slope(points: Sequence[tuple[int, float]]) -> float | None:
    if len({size for size, _ in points}) < 2:
        return None
    sizes, variances = zip(*points, strict=True)
    return float(np.polyfit(sizes, [math.log2(variance) for variance in variances], 1)[0])
