"""The derivative of expectation values in the features of an amplitude encoding, from values.

With features x and t > 0, the value f times |x|**2 is a quadratic form q(x). So its derivative is
exactly (q(x + t e) - q(x - t e)) / 2t along every feature e, whatever t, and that of f follows.
"""

from collections.abc import Sequence

import numpy as np
import torch
from qiskit.circuit import ParameterExpression

from qhybrid_circuits.encoding import AmplitudeEncoding
from qhybrid_circuits.encoding.state_tree import preparation_angles
from qhybrid_runtime.engine.angles import AngleTable
from qhybrid_runtime.gradients.chain import chain

#: How far features are moved, in units of their length: |x| itself could leave nothing.
_STEP = 0.5


class AmplitudeShift:
    """One symbolic amplitude encoding of a circuit.

    Attributes:
        columns: Which of the circuit's angles prepare its state.
    """

    def __init__(
        self,
        encoding: AmplitudeEncoding,
        columns: Sequence[int],
        parameters: Sequence[ParameterExpression],
    ) -> None:
        """Take over an encoding.

        Args:
            encoding: Of features over `parameters`.
            columns: See above.
            parameters: Inputs and weights side by side.
        """
        self.columns = list(columns)
        self._encoding = encoding
        self._features = AngleTable(encoding.params, parameters)

    def angles(self, parameters: np.ndarray) -> np.ndarray:
        """Return the angles (B, n_columns) at parameters (B, n_parameters)."""
        return preparation_angles(self._at(parameters), self._encoding.num_qubits)

    def depending(self, needed: Sequence[ParameterExpression]) -> list[int]:
        """Return the features that are functions of one of the parameters."""
        wanted = set(needed)
        return [
            index
            for index, feature in enumerate(self._encoding.params)
            if isinstance(feature, ParameterExpression)
            and not wanted.isdisjoint(feature.parameters)
        ]

    def moved_angles(self, parameters: np.ndarray, moved: Sequence[int]) -> np.ndarray:
        """Return the angles with each feature moved up, then down, (2 * n, B, n_columns)."""
        features = self._at(parameters)
        return np.array(
            [
                preparation_angles(shifted, self._encoding.num_qubits)
                for shifted in self._around(features, moved)
            ]
        ).reshape(2 * len(moved), len(features), len(self.columns))

    def derivatives(
        self, parameters: np.ndarray, moved: Sequence[int], here: np.ndarray, numbers: np.ndarray
    ) -> np.ndarray:
        """Return derivatives in the parameters, (B, n_parameters).

        Args:
            parameters: Shape (B, n_parameters).
            moved: As given to `moved_angles`.
            here: A value a sample, (B,), that is linear in expectation values.
            numbers: The same at the moved features, (2 * n, B).
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
        features: np.ndarray = self._features(torch.as_tensor(parameters)).numpy()
        return features

    def _around(self, features: np.ndarray, moved: Sequence[int]) -> list[np.ndarray]:
        step = _STEP * np.linalg.norm(features, axis=1)
        around = []
        for feature in moved:
            for sign in (1, -1):
                shifted = features.copy()
                shifted[:, feature] += sign * step
                around.append(shifted)
        return around
