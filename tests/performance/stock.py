"""Stock EstimatorQNN and TorchConnector: as they come, and with our estimator and gradient."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from qiskit.primitives import DataBin, PubResult, StatevectorEstimator
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime import AdjointEstimatorGradient, get_backend
from tests.performance.cases import Case
from tests.performance.timing import seconds

#: Of the derivatives of one output, every which one is computed where all would take too long.
STRIDE = 8


class CountingEstimator(StatevectorEstimator):
    """The stock estimator, counting the circuits that it evaluates, or only counting them."""

    def __init__(self, simulate: bool = True) -> None:
        super().__init__()
        self.count = 0
        self._simulate = simulate

    def _run_pub(self, pub: EstimatorPub) -> PubResult:
        self.count += int(np.prod(pub.shape))
        if self._simulate:
            return super()._run_pub(pub)
        zero = np.zeros(pub.shape)
        return PubResult(DataBin(evs=zero, stds=zero, shape=zero.shape), metadata={})


@dataclass(frozen=True)
class Extrapolated:
    """What one sample costs with stock classes.

    Attributes:
        forward_s: All outputs.
        backward_s: The derivatives of all outputs by all inputs and weights.
        circuits: Circuits of a whole backward pass.
        measured: How many of them were timed, a call.
    """

    forward_s: float
    backward_s: float
    circuits: int
    measured: int


def stock_network(variational: VariationalCircuit, estimator: Any = None) -> EstimatorQNN:
    """Return an EstimatorQNN with its default gradient, and default estimator where omitted."""
    return _network(variational, estimator or StatevectorEstimator())


def shifted_circuits(variational: VariationalCircuit) -> int:
    """Return how many circuits parameter shifts take, for one sample and all outputs.

    Qiskit Machine Learning takes controlled rotations apart into gates that have a two-term rule,
    so that there are more of them than two a parameter.
    """
    estimator = CountingEstimator(simulate=False)
    parameters = list(variational.circuit.parameters)
    gradient = ParamShiftEstimatorGradient(estimator)
    values = [0.5] * len(parameters)
    gradient.run(
        [variational.circuit], [variational.observables[0]], [values], [parameters]
    ).result()
    return estimator.count * variational.num_outputs


def extrapolate(case: Case, repeats: int = 5) -> Extrapolated:
    """Time every eighth derivative of one output, and multiply by the number of circuits."""
    variational = case.variational
    estimator = CountingEstimator()
    gradient = ParamShiftEstimatorGradient(estimator)
    network = stock_network(variational)
    wanted = list(variational.circuit.parameters)[::STRIDE]
    position = {p: i for i, p in enumerate((*variational.inputs, *variational.weights))}
    forward, backward, counts = [], [], []
    for repeat in range(repeats + 1):
        sample = case.inputs[repeat % len(case.inputs)]
        side_by_side = np.concatenate([sample, case.weights])
        values = [float(side_by_side[position[p]]) for p in variational.circuit.parameters]
        estimator.count = 0
        arguments = ([variational.circuit], [variational.observables[0]], [values], [wanted])
        backward.append(seconds(lambda: gradient.run(*arguments).result()))  # noqa: B023
        counts.append(estimator.count)
        forward.append(seconds(lambda: network.forward(sample, case.weights)))  # noqa: B023
    total = shifted_circuits(variational)
    # The first call also translates the circuit, once for all samples.
    each = float(np.median(np.array(backward[1:]) / np.array(counts[1:])))
    return Extrapolated(float(np.median(forward[1:])), each * total, total, counts[-1])


def whole_sample(case: Case) -> tuple[float, int]:
    """Return the seconds of one sample's forward and backward pass, and its circuits."""
    estimator = CountingEstimator()
    network = stock_network(case.variational, estimator)
    sample = case.inputs[:1]
    taken = seconds(
        lambda: (network.forward(sample, case.weights), network.backward(sample, case.weights))
    )
    return taken, estimator.count - case.variational.num_outputs


@dataclass(frozen=True)
class Connected:
    """Stock classes with our estimator and gradient, in seconds per batch."""

    forward_s: float
    backward_s: float


def connected(case: Case, repeats: int = 5) -> Connected:
    """Time stock EstimatorQNN in a stock TorchConnector with the `statevector` estimator."""
    estimator = get_backend("statevector").estimator()
    network = _network(case.variational, estimator, AdjointEstimatorGradient(estimator))
    layer = TorchConnector(network, initial_weights=case.weights)
    cotangent = torch.as_tensor(case.cotangent)
    forward, backward = [], []
    for _ in range(repeats + 1):
        inputs = torch.tensor(case.inputs, requires_grad=True)
        values: list[torch.Tensor] = []
        forward.append(seconds(lambda: values.append(layer(inputs))))  # noqa: B023
        backward.append(seconds(lambda: values[0].backward(cotangent)))  # noqa: B023
    return Connected(float(np.median(forward[1:])), float(np.median(backward[1:])))


def _network(variational: VariationalCircuit, estimator: Any, gradient: Any = None) -> EstimatorQNN:
    return EstimatorQNN(
        circuit=variational.circuit,
        estimator=estimator,
        observables=list(variational.observables),
        input_params=list(variational.inputs),
        weight_params=list(variational.weights),
        gradient=gradient,
        input_gradients=True,
        default_precision=0.0,
    )
