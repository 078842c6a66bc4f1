from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import BaseEstimatorV2
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.gradient import AdjointEstimatorGradient, jacobian
from qhybrid_runtime.statevector.observables import ObservableSet
from qhybrid_runtime.statevector.program import Program, compile_program


@dataclass(frozen=True, eq=False)
class Structure:
    """What a network computes. Equal ones are one object, so that they compare in no time."""

    key: tuple[object, ...]

    def __reduce__(self) -> tuple[object, ...]:
        # A copy, in another process too, is the object that is known there.
        return structure_of, (self.key,)


#: Every structure that a network has at present. Numbers instead would mean other structures in
#: another process, and the table would only grow.
_STRUCTURES: WeakValueDictionary[tuple[object, ...], Structure] = WeakValueDictionary()


def structure_of(key: tuple[object, ...]) -> Structure:
    """Return the one structure with this key."""
    return _STRUCTURES.setdefault(key, Structure(key))


class BroadcastEstimatorQNN(EstimatorQNN):
    """An EstimatorQNN that sends one PUB a forward call, and whose derivative is exact.

    The stock class sends a PUB for every observable, which multiplies a device's bill by the
    number of outputs, and leaves the precision at 1/64 where none is given. Here all observables
    broadcast against the batch, and the precision is the caller's, always.
    """

    def __init__(
        self,
        variational: VariationalCircuit,
        estimator: BaseEstimatorV2,
        *,
        precision: float,
    ) -> None:
        """Wrap a variational circuit.

        Args:
            variational: The layer's circuit.
            estimator: Where expectation values come from.
            precision: Standard error to ask for; 0 where the estimator is exact.
        """
        self.variational = variational
        super().__init__(
            circuit=variational.circuit,
            estimator=estimator,
            observables=list(variational.observables),
            input_params=list(variational.inputs),
            weight_params=list(variational.weights),
            gradient=AdjointEstimatorGradient(estimator),
            input_gradients=True,
            default_precision=precision,
        )

    @cached_property
    def program(self) -> Program:
        """The circuit, compiled for the engine."""
        return compile_program(self.variational)

    @cached_property
    def _jacobian_program(self) -> Program:
        variational = self.variational
        return compile_program(
            variational.circuit, inputs=[*variational.inputs, *variational.weights]
        )

    @cached_property
    def observable_set(self) -> ObservableSet:
        """The observables, prepared for the engine."""
        return ObservableSet(self.variational.observables, self.variational.num_qubits)

    @cached_property
    def structure(self) -> Structure:
        """The same for networks that compute the same function of inputs and weights."""
        return structure_of((self.program.key, self.observable_set.key))

    def pub(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[Any, ...]:
        """Return the one PUB of a forward call, of shape (n_outputs, B).

        Args:
            inputs: Shape (B, n_inputs).
            weights: Shape (n_weights,).
        """
        values = _side_by_side(inputs, weights)[:, self._active]
        column = [[observable] for observable in self._observables]
        return (self._circuit, column, values, self._default_precision)

    def _forward(self, input_data: np.ndarray | None, weights: np.ndarray | None) -> np.ndarray:
        job = self.estimator.run([self.pub(*self._arrays(input_data, weights))])
        values: np.ndarray = np.asarray(job.result()[0].data.evs).T
        return values

    def _backward(
        self, input_data: np.ndarray | None, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the Jacobians (B, n_outputs, n_inputs) and (B, n_outputs, n_weights)."""
        parameters = _side_by_side(*self._arrays(input_data, weights))
        table = jacobian(
            self._jacobian_program, self.observable_set, torch.as_tensor(parameters)
        ).numpy()
        return table[..., : self.num_inputs], table[..., self.num_inputs :]

    def _arrays(
        self, input_data: np.ndarray | None, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        inputs = np.empty((1, 0)) if input_data is None else input_data
        return inputs, np.empty(0) if weights is None else weights

    def _reparameterize_circuit(
        self,
        circuit: QuantumCircuit,
        input_params: Sequence[Parameter] | None = None,
        weight_params: Sequence[Parameter] | None = None,
    ) -> QuantumCircuit:
        """Rename parameters so that they sort as inputs, then weights.

        Unlike the stock class this allows weights that stand in no gate, as in the published code
        of one ansatz; their columns are left out of the PUB.
        """
        listed = [*(input_params or ()), *(weight_params or ())]
        renamed = [
            *ParameterVector("inputs", self.num_inputs),
            *ParameterVector("weights", self.num_weights),
        ]
        self._active = np.array([circuit.has_parameter(p) for p in listed], dtype=bool)
        return circuit.assign_parameters(
            {old: new for old, new, used in zip(listed, renamed, self._active, strict=True) if used}
        )


def _side_by_side(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return inputs (B, n_in) and the weights (n_w,) of all samples as (B, n_in + n_w)."""
    rows = np.broadcast_to(weights, (len(inputs), len(weights)))
    return np.concatenate([inputs, rows], axis=1)
