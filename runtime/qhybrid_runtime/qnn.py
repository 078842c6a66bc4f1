"""Give qiskit-machine-learning a compiled circuit on a backend."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BaseEstimatorV2
from qiskit.transpiler.passmanager import BasePassManager
from qiskit_machine_learning.neural_networks import EstimatorQNN
from torch import Tensor

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.compiled import CompiledCircuit
from qhybrid_runtime.gradients.adjoint import Adjoint
from qhybrid_runtime.gradients.estimator_gradient import AdjointEstimatorGradient
from qhybrid_runtime.gradients.method import GradientMethod, Point, RandomStream
from qhybrid_runtime.share import current_share


class BroadcastEstimatorQNN(EstimatorQNN):
    """An EstimatorQNN that sends one PUB per forward call, and at most one per backward call.

    The stock class sends a PUB for every observable, which multiplies a QPU's bill by the number of
    outputs, and leaves the precision at 1/64 where none is given. Here all observables broadcast
    against the batch, and the precision is the backend's, always.

    Attributes:
        compiled: The circuit with what is made from it once.
        backend: The backend, whose `estimator` and `default_precision` this network has.
        gradient_method: The method for derivatives.
        stream: Random numbers of gradient methods that draw some.

    Example:
        >>> import numpy as np
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import BroadcastEstimatorQNN, get_backend
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> network = BroadcastEstimatorQNN(circuit, get_backend("statevector"))
        >>> network.forward(np.zeros((5, 4)), np.zeros(8)).shape
        (5, 4)
    """

    def __init__(
        self,
        variational: VariationalCircuit,
        backend: Backend,
        *,
        gradient_method: GradientMethod | None = None,
        stream: RandomStream | None = None,
        pass_manager: BasePassManager | None = None,
    ) -> None:
        """Wrap a circuit, with the adjoint method and a new stream where they are omitted.

        Args:
            variational: The circuit.
            backend: Where it runs.
            gradient_method: How it is differentiated.
            stream: Random numbers of gradient methods that draw some.
            pass_manager: What the circuit goes through first; the observables follow its layout.
        """
        if pass_manager is not None:
            passed = pass_manager.run(variational.circuit)
            laid_out = [each.apply_layout(passed.layout) for each in variational.observables]
            variational = replace(variational, circuit=passed, observables=tuple(laid_out))
        self.compiled, self.backend = CompiledCircuit(variational), backend
        self.gradient_method = Adjoint() if gradient_method is None else gradient_method
        self.stream = RandomStream() if stream is None else stream
        super().__init__(
            circuit=variational.circuit,
            estimator=backend.estimator(),
            observables=list(variational.observables),
            input_params=list(variational.inputs),
            weight_params=list(variational.weights),
            gradient=AdjointEstimatorGradient(backend.estimator()),
            input_gradients=True,
        )

    @property
    def variational(self) -> VariationalCircuit:
        """The circuit with its inputs, weights and observables."""
        return self.compiled.variational

    @property
    def estimator(self) -> BaseEstimatorV2:
        """The backend's primitive."""
        return self.backend.estimator()

    @estimator.setter
    def estimator(self, estimator: BaseEstimatorV2) -> None:
        if "_org_circuit" in self.__dict__:  # the stock constructor sets both
            raise AttributeError(
                "the estimator is the backend's; set the attribute `backend` instead"
            )

    @property
    def default_precision(self) -> float:
        """The standard error that is asked for; 0 where the backend is exact."""
        return self.backend.precision

    def point(self, inputs: Tensor, weights: Tensor) -> Point:
        """Return the circuit at inputs (B, n_inputs) and weights (n_weights,)."""
        return Point(self.compiled, inputs, weights, self.stream, share=current_share())

    def _forward(self, input_data: np.ndarray | None, weights: np.ndarray | None) -> np.ndarray:
        point = self._point(input_data, weights)
        with torch.no_grad():
            values = self.backend.evaluate([self.compiled], [point.inputs], [point.weights])[0]
        return np.asarray(values)

    def _backward(
        self, input_data: np.ndarray | None, weights: np.ndarray | None
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Return the Jacobians (B, n_outputs, n_inputs) and (B, n_outputs, n_weights).

        That of the inputs is None where `input_gradients` is not set.
        """
        point = self._point(input_data, weights)
        table = self.gradient_method.jacobian(point, self.backend)
        by_inputs = table[..., : self.num_inputs] if self.input_gradients else None
        return by_inputs, table[..., self.num_inputs :]

    def _point(self, input_data: np.ndarray | None, weights: np.ndarray | None) -> Point:
        inputs = np.empty((1, 0)) if input_data is None else input_data
        vector = np.empty(0) if weights is None else weights
        rows, values = torch.as_tensor(inputs).double(), torch.as_tensor(vector).double()
        return Point(self.compiled, rows, values, self.stream, by_inputs=self.input_gradients)

    def _reparameterize_circuit(
        self,
        circuit: QuantumCircuit,
        input_params: Sequence[Parameter] | None = None,
        weight_params: Sequence[Parameter] | None = None,
    ) -> QuantumCircuit:
        # Unlike in the stock class, weights may stand in no gate, as in the published code of one
        # ansatz; their columns are left out of the PUB.
        return self.compiled.circuit
