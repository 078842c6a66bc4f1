from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from qiskit.circuit import Parameter, ParameterExpression
from torch import Tensor

from qhybrid_runtime.engine.by_dtype import ByDtype

if TYPE_CHECKING:
    from qhybrid_runtime.engine.curves import Curve


class _Affine:
    """The affine part of a table, for one dtype and torch device."""

    def __init__(
        self, which: np.ndarray, slopes: np.ndarray, offsets: np.ndarray, like: Tensor
    ) -> None:
        self.offsets = torch.as_tensor(offsets).to(like)
        self.terms = [
            (torch.as_tensor(parameters).to(like.device), torch.as_tensor(numbers).to(like))
            for parameters, numbers in zip(which, slopes, strict=True)
        ]

    def __call__(self, parameters: Tensor) -> Tensor:
        angles = self.offsets.expand(*parameters.shape[:-1], len(self.offsets))
        for which, slopes in self.terms:
            angles = angles + parameters.index_select(-1, which) * slopes
        return angles


class AngleTable:
    """The angles of a circuit's gates as a differentiable function of its parameters.

    Nearly all angles are affine in the parameters (2*pi*w, x + 1), most of them in one parameter:
    slope times parameter plus offset, a term at a time. The rest (products, powers, sines) go
    through sympy once and through torch at every call.

    It is not a matrix product because that starts torch's threads, for next to no work, and they
    then hold on to the processors that the sweep's own threads need.
    """

    def __init__(
        self, expressions: Sequence[ParameterExpression | float], parameters: Sequence[Parameter]
    ) -> None:
        """Translate expressions over `parameters`, the columns of the tensor given to `__call__`.

        Raises:
            CircuitError: An expression has a function that has no derivative in torch.
        """
        position = {parameter: index for index, parameter in enumerate(parameters)}
        self.offsets = np.zeros(len(expressions))
        terms: list[list[tuple[int, float]]] = [[] for _ in expressions]
        self._curves: list[Curve] = []
        for column, expression in enumerate(expressions):
            if not isinstance(expression, ParameterExpression):
                self.offsets[column] = float(expression)
                continue
            slopes = affine_slopes(expression)
            if slopes is not None:
                found = ((position[parameter], slope) for parameter, slope in slopes.items())
                terms[column] = sorted(each for each in found if each[1])
                origin = expression.bind(dict.fromkeys(expression.parameters, 0.0))
                self.offsets[column] = float(origin)
            else:
                # Few circuits have one, and sympy takes half a second to load.
                from qhybrid_runtime.engine.curves import curve_of

                self._curves.append(curve_of(column, expression, position))
        # Term t holds the t-th parameter of each angle that has so many, and zero for the others.
        shape = max(map(len, terms), default=0), len(expressions)
        self._which, self._slopes = np.zeros(shape, dtype=np.int64), np.zeros(shape)
        for column, found_terms in enumerate(terms):
            for term, (parameter, slope) in enumerate(found_terms):
                self._which[term, column], self._slopes[term, column] = parameter, slope
        self._num_parameters = len(parameters)
        self._affine = ByDtype[_Affine]()

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def key(self) -> tuple[object, ...]:
        """Return what the table computes, equal for equal tables."""
        curves = tuple(curve.key for curve in self._curves)
        numbers = (each.tobytes() for each in (self._which, self._slopes, self.offsets))
        return (self._num_parameters, len(self), *numbers, curves)

    def arguments(self) -> list[set[int]]:
        """Return the parameters that each angle is a function of."""
        found = [
            set(which[slopes != 0].tolist())
            for which, slopes in zip(self._which.T, self._slopes.T, strict=True)
        ]
        for curve in self._curves:
            found[curve.column] = set(curve.arguments)
        return found

    def largest_slopes(self, first: int = 0, end: int | None = None) -> np.ndarray:
        """Return how fast each parameter moves an affine one of some angles, (n_parameters,)."""
        largest, angles = np.zeros(self._num_parameters), slice(first, end)
        np.maximum.at(largest, self._which[:, angles], np.abs(self._slopes[:, angles]))
        return largest

    def _make_affine(self, like: Tensor) -> _Affine:
        return _Affine(self._which, self._slopes, self.offsets, like)

    def __call__(self, parameters: Tensor) -> Tensor:
        """Return the angles in radians, (..., n_angles), of parameters (..., n_parameters)."""
        affine = self._affine.get(parameters, self._make_affine)
        angles = affine(parameters)
        if not self._curves:
            return angles
        columns = list(angles.unbind(-1))
        for curve in self._curves:
            value = curve.function(*(parameters[..., index] for index in curve.arguments))
            columns[curve.column] = value.expand(parameters.shape[:-1])
        return torch.stack(columns, dim=-1)


def affine_slopes(expression: ParameterExpression) -> dict[Parameter, float] | None:
    """Return the derivative in each parameter, or None where one is not a number."""
    try:
        slopes = {p: expression.gradient(p) for p in expression.parameters}
    except RuntimeError:  # Qiskit does not derive every function that it has; torch may.
        return None
    numbers = all(isinstance(slope, (int, float)) for slope in slopes.values())
    return slopes if numbers else None
