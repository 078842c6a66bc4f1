"""Checks of features that all encodings share."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from qiskit.circuit import ParameterExpression

from qhybrid_circuits.errors import CircuitError, NotFiniteError

#: A parameter of a circuit that is bound later, an expression of parameters, or a number.
Feature: TypeAlias = ParameterExpression | float


def check_features(features: Sequence[Feature]) -> None:
    """Check what a circuit is built from.

    Raises:
        CircuitError: There are no features, or one is not a real number.
        NotFiniteError: A feature is a number that is NaN or infinite.
    """
    if not len(features):
        raise CircuitError("Argument `features` must hold at least one feature, but is empty")
    numbers = [number_of(feature) for feature in features]
    check_finite(np.array([0.0 if number is None else number for number in numbers]))


def number_of(feature: Feature) -> float | None:
    """Return a feature's value, or None where it is still symbolic.

    Raises:
        CircuitError: It is not a real number.
    """
    if isinstance(feature, ParameterExpression) and feature.parameters:
        return None
    try:
        return float(feature)
    except (TypeError, ValueError) as error:
        raise CircuitError(
            f"Features must be parameters or real numbers, but one is {feature!r}; amplitude "
            "encoding takes imaginary parts as an argument of their own"
        ) from error


def check_finite(values: ArrayLike) -> None:
    """Raise NotFiniteError, with the place of the first one, if a value is NaN or infinite."""
    array = np.asarray(values, dtype=np.float64)
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        sample = f" of sample {place[:-1]}" if len(place) > 1 else ""
        raise NotFiniteError(
            f"Features must be finite, but feature {place[-1]}{sample} is {array[place]}; look at "
            "what computes it"
        )
