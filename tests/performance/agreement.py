"""How far the engine is from qiskit.quantum_info, in values and in gradients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Statevector

from qhybrid.verification.gates import PlainGate, numeric, plain_gates
from qhybrid_circuits import VariationalCircuit
from tests.performance.cases import Case
from tests.performance.contenders import prepare_engine

#: Shifts and their factors for a gate whose expectation values have frequencies 1/2 and 1, as
#: controlled rotations have: the four-term rule of Anselmetti et al. (2021), which holds for
#: gates with frequency 1 alone, too.
SHIFTS = tuple(
    (sign * shift, sign * factor)
    for shift, factor in (
        (np.pi / 2, (np.sqrt(2) + 1) / (4 * np.sqrt(2))),
        (3 * np.pi / 2, -(np.sqrt(2) - 1) / (4 * np.sqrt(2))),
    )
    for sign in (1, -1)
)

_KNOWN = get_standard_gate_name_mapping()


@dataclass(frozen=True)
class Agreement:
    """Largest absolute differences of one sample's values and gradient."""

    values: float
    gradients: float


def agreement(case: Case, dtype: torch.dtype, parameters: Sequence[int] | None = None) -> Agreement:
    """Compare the first sample's values and vector-Jacobian product.

    Args:
        case: Of which the first sample is taken.
        dtype: The engine's precision.
        parameters: Of which inputs and weights, numbered side by side, the derivative is compared;
            all where omitted.
    """
    one = case.head(1)
    values, by_inputs, by_weights = prepare_engine(one, dtype)()
    gradient = torch.cat([by_inputs[0], by_weights]).double().numpy()
    exact = _Exact(one.variational, np.concatenate([one.inputs[0], one.weights]).astype(float))
    chosen = range(len(gradient)) if parameters is None else parameters
    differences = [
        gradient[i] - exact.derivative(i) @ one.cotangent[0].astype(float) for i in chosen
    ]
    value_error = np.abs(values[0].detach().double().numpy() - exact.values(exact.angles))
    return Agreement(float(value_error.max()), float(np.abs(differences).max()))


class _Exact:
    """Values and derivatives of one sample from Qiskit's matrices and state vectors alone."""

    def __init__(self, variational: VariationalCircuit, parameters: np.ndarray) -> None:
        self._variational = variational
        self._gates = plain_gates(variational)
        self.angles = [numeric(gate, parameters) for gate in self._gates]

    def values(self, angles: Sequence[Sequence[float]]) -> np.ndarray:
        """Return the expectation values (n_outputs,) at the gates' angles."""
        circuit = self._variational.circuit.copy_empty_like()
        for gate, numbers in zip(self._gates, angles, strict=True):
            circuit.append(_KNOWN[gate.name].base_class(*numbers), gate.qubits)
        state = Statevector(circuit)
        observables = self._variational.observables
        return np.array([state.expectation_value(o).real for o in observables])

    def derivative(self, parameter: int) -> np.ndarray:
        """Return the derivatives (n_outputs,) by one parameter: a sum over where it stands."""
        total = np.zeros(self._variational.num_outputs)
        for index, gate in enumerate(self._gates):
            for place, slope in _slopes(gate, parameter):
                for shift, factor in SHIFTS:
                    angles = [list(numbers) for numbers in self.angles]
                    angles[index][place] += shift
                    total += slope * factor * self.values(angles)
        return total


def _slopes(gate: PlainGate, parameter: int) -> list[tuple[int, float]]:
    return [(place, a.slope) for place, a in enumerate(gate.angles) if a.parameter == parameter]
