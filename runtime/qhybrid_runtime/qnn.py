from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakValueDictionary

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import BaseEstimatorV2
from qiskit.primitives.containers import BindingsArray, ObservablesArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program, compile_program
from qhybrid_runtime.gradients.adjoint import Adjoint
from qhybrid_runtime.gradients.angle_circuit import AngleCircuit
from qhybrid_runtime.gradients.estimator_gradient import AdjointEstimatorGradient
from qhybrid_runtime.gradients.method import GradientMethod, Point


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
    """An EstimatorQNN that sends one PUB a forward call, and one at most a backward call.

    The stock class sends a PUB for every observable, which multiplies a device's bill by the
    number of outputs, and leaves the precision at 1/64 where none is given. Here all observables
    broadcast against the batch, and the precision is the caller's, always.

    Attributes:
        variational: The layer's circuit.
        gradient_method: How derivatives are had.
        stream: Which of the random streams of a seed the gradient method draws from, so that
            circuits with equal seeds are not perturbed alike.
        gradient_calls: How often derivatives by random perturbations were asked for.
        active: Which inputs and weights, side by side, stand in a gate.
    """

    def __init__(
        self,
        variational: VariationalCircuit,
        estimator: BaseEstimatorV2,
        *,
        precision: float,
        gradient_method: GradientMethod | None = None,
        stream: int = 0,
    ) -> None:
        """Wrap a variational circuit.

        Args:
            variational: The layer's circuit.
            estimator: Where expectation values come from.
            precision: Standard error to ask for; 0 where the estimator is exact.
            gradient_method: How derivatives are had; the adjoint where omitted.
            stream: Which random stream of a seed to draw from, not negative.
        """
        self.variational = variational
        self.gradient_method = Adjoint() if gradient_method is None else gradient_method
        self.stream, self.gradient_calls = stream, 0
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
    def jacobian_program(self) -> Program:
        """The circuit compiled with its weights as further inputs, each sample's its own."""
        variational = self.variational
        return compile_program(
            variational.circuit, inputs=[*variational.inputs, *variational.weights]
        )

    @cached_property
    def angle_circuit(self) -> AngleCircuit:
        """The circuit with a parameter for each angle.

        Raises:
            CircuitError: A gate has no parameter-shift rule.
        """
        return AngleCircuit(self.variational)

    @cached_property
    def observable_set(self) -> ObservableSet:
        """The observables, prepared for the engine."""
        return ObservableSet(self.variational.observables, self.variational.num_qubits)

    @cached_property
    def structure(self) -> Structure:
        """The same for networks that compute the same function of inputs and weights."""
        return structure_of((self.program.key, self.observable_set.key))

    @property
    def named_circuit(self) -> QuantumCircuit:
        """The circuit with its parameters named `inputs[...]` and `weights[...]`, and so sorted."""
        return self._circuit

    def pub(self, inputs: np.ndarray, weights: np.ndarray) -> EstimatorPub:
        """Return the one PUB of a forward call, of shape (n_outputs, B).

        Args:
            inputs: Shape (B, n_inputs).
            weights: Shape (n_weights,).
        """
        return self.pub_of(self._circuit, _side_by_side(inputs, weights)[:, self.active])

    def pub_of(self, circuit: QuantumCircuit, values: np.ndarray) -> EstimatorPub:
        """Return a PUB of this network's observables, of shape (n_outputs, N).

        Args:
            circuit: This network's circuit, or another form of it on the same qubits.
            values: In the order of `circuit.parameters`, shape (N, n_parameters).
        """
        bindings = BindingsArray({tuple(circuit.parameters): values}, shape=(len(values),))
        # Validating would write each observable out once more at every call.
        return EstimatorPub(
            circuit, self._column, bindings, self._default_precision, validate=False
        )

    @cached_property
    def _column(self) -> ObservablesArray:
        return ObservablesArray([[observable] for observable in self._observables])

    def _forward(self, input_data: np.ndarray | None, weights: np.ndarray | None) -> np.ndarray:
        job = self.estimator.run([self.pub(*self._arrays(input_data, weights))])
        values: np.ndarray = np.asarray(job.result()[0].data.evs).T
        return values

    def _backward(
        self, input_data: np.ndarray | None, weights: np.ndarray | None
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Return the Jacobians (B, n_outputs, n_inputs) and (B, n_outputs, n_weights).

        That of the inputs is None where `input_gradients` is not set.
        """
        inputs, vector = (torch.as_tensor(array) for array in self._arrays(input_data, weights))
        point = Point(self, inputs, vector, by_inputs=self.input_gradients)
        table = self.gradient_method.jacobian(point)
        by_inputs = table[..., : self.num_inputs] if self.input_gradients else None
        return by_inputs, table[..., self.num_inputs :]

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
        self.active = np.array([circuit.has_parameter(p) for p in listed], dtype=bool)
        return circuit.assign_parameters(
            {old: new for old, new, used in zip(listed, renamed, self.active, strict=True) if used}
        )


def _side_by_side(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return inputs (B, n_in) and the weights (n_w,) of all samples as (B, n_in + n_w)."""
    rows = np.broadcast_to(weights, (len(inputs), len(weights)))
    return np.concatenate([inputs, rows], axis=1)
