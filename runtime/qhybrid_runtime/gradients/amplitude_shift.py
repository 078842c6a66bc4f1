"""Differentiate expectation values in the features of an amplitude encoding, from values alone.

With features x and t > 0, the value f times |x|**2 is a quadratic form q(x). So its derivative is
exactly (q(x + t e) - q(x - t e)) / 2t along every feature e, whatever t, and that of f follows.
"""

from collections.abc import Sequence, Set

import numpy as np
import torch
from qiskit.circuit import Parameter, ParameterExpression

from qhybrid_circuits.encoding import AmplitudeEncoding
from qhybrid_circuits.encoding.state_tree import preparation_angles
from qhybrid_runtime.engine.angles import AngleTable

#: How far features are moved, in units of their length: |x| itself could leave nothing.
_STEP = 0.5


class AmplitudeShift:
    """One symbolic amplitude encoding of a circuit.

    Attributes:
        columns: Indices of the circuit's angles that prepare its state.
    """

    def __init__(
        self, encoding: AmplitudeEncoding, columns: list[int], parameters: Sequence[Parameter]
    ) -> None:
        """Take over an encoding whose features are functions of `parameters`."""
        self.columns, self._encoding = columns, encoding
        self._features = AngleTable(encoding.params, parameters)

    def angles(self, parameters: np.ndarray) -> np.ndarray:
        """Return the angles (B, n_columns) at parameters (B, n_parameters)."""
        return preparation_angles(self._at(parameters), self._encoding.num_qubits)

    def depending(self, needed: Set[Parameter]) -> list[int]:
        """Return the features that are functions of one of the parameters."""
        return [i for i, feature in enumerate(self._encoding.params) if depends(feature, needed)]

    def moved_angles(self, parameters: np.ndarray, moved: Sequence[int]) -> np.ndarray:
        """Return the angles with each feature moved up, then down, (2 * n, B, n_columns)."""
        features = self._at(parameters)
        around = self._around(features, moved)
        angles = [preparation_angles(each, self._encoding.num_qubits) for each in around]
        return np.array(angles).reshape(2 * len(moved), len(features), len(self.columns))

    def derivatives(
        self, parameters: np.ndarray, moved: Sequence[int], here: np.ndarray, numbers: np.ndarray
    ) -> np.ndarray:
        """Return derivatives in the parameters, (B, n_parameters).

        `here` is one number per sample, (B,), linear in expectation values, and `numbers` is
        the same at the features that `moved_angles` has moved, (2 * n, B).
        """
        features = self._at(parameters)
        squared = np.square(features).sum(axis=1)
        forms = [
            number * np.square(shifted).sum(axis=1)
            for number, shifted in zip(numbers, self._around(features, moved), strict=True)
        ]
        by_features = np.zeros_like(features)
        for place, feature in enumerate(moved):
            slope = (forms[2 * place] - forms[2 * place + 1]) / (2 * _STEP * np.sqrt(squared))
            by_features[:, feature] = (slope - 2 * features[:, feature] * here) / squared
        return chain(self._features, parameters, by_features)

    def _at(self, parameters: np.ndarray) -> np.ndarray:
        return np.asarray(self._features(torch.as_tensor(parameters)))

    def _around(self, features: np.ndarray, moved: Sequence[int]) -> list[np.ndarray]:
        step = _STEP * np.linalg.norm(features, axis=1)
        around = [features.copy() for _ in range(2 * len(moved))]
        for place, feature in enumerate(moved):
            around[2 * place][:, feature] += step
            around[2 * place + 1][:, feature] -= step
        return around


def depends(expression: object, parameters: Set[Parameter]) -> bool:
    """Return whether an expression, or a number, is a function of one of the parameters."""
    used = expression.parameters if isinstance(expression, ParameterExpression) else set()
    return not parameters.isdisjoint(used)


def chain(table: AngleTable, parameters: np.ndarray, by_angles: np.ndarray) -> np.ndarray:
    """Return derivatives in parameters (B, n_parameters) from those in angles (B, n_angles)."""
    with torch.enable_grad():
        leaf = torch.tensor(parameters, requires_grad=True)
        angles = table(leaf)
        if not angles.requires_grad:  # there is no angle, or none that its parameters change
            return np.zeros_like(parameters)
        along = torch.as_tensor(by_angles)
        (found,) = torch.autograd.grad(angles, leaf, along, materialize_grads=True)
    return np.asarray(found)
