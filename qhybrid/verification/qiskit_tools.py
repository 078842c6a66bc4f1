"""Qiskit's own tools: primitives, Aer, and the gradients of qiskit-machine-learning."""

from collections.abc import Callable
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.primitives import StatevectorEstimator
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from qiskit_aer.primitives import EstimatorV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import (
    LinCombEstimatorGradient,
    ParamShiftEstimatorGradient,
)
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qhybrid.verification.case import READOUT_ERROR, Case
from qhybrid.verification.tool import Tool

_AER = "https://github.com/Qiskit/qiskit-aer/issues"
_MISBOUND = (
    "Aer binds symbolic crx, cry, crz, cp, cu1 and cu3 wrongly; call assign_parameters first",
    (f"{_AER}/2323", f"{_AER}/2391", f"{_AER}/2403"),
)
_READOUT = (
    "exact values leave readout errors out; sample with BackendEstimatorV2 instead",
    (f"{_AER}/1861",),
)
_REVERSE = (
    "it has no derivatives of controlled rotations",
    ("https://github.com/qiskit-community/qiskit-algorithms/issues/216",),
)


def _aer() -> Any:
    return EstimatorV2(options={"default_precision": 0.0})


def _symbolic(make: Callable[[], Any]) -> Callable[[Case], np.ndarray]:
    """Return a PUB of the circuit with its parameters, and their values beside it."""

    def answer(case: Case) -> np.ndarray:
        return _run(make(), case, case.variational.circuit, case.in_circuit_order)

    return answer


def _bound(make: Callable[[], Any]) -> Callable[[Case], np.ndarray]:
    """Return a PUB of the circuit with numbers alone."""
    return lambda case: _run(make(), case, case.bound)


def _run(estimator: Any, case: Case, circuit: QuantumCircuit, *values: Any) -> np.ndarray:
    pub = (circuit, list(case.variational.observables), *values)
    return np.asarray(estimator.run([pub], precision=0.0).result()[0].data.evs)


def _transpiled(case: Case) -> np.ndarray:
    circuit = transpile(case.variational.circuit, AerSimulator())
    values = dict(zip(case.parameters, case.point.tolist(), strict=True))
    return _run(_aer(), case, circuit, [values[p] for p in circuit.parameters])


def _parameter_binds(case: Case) -> np.ndarray:
    circuit = case.variational.circuit.copy()
    labels = [str(row) for row in range(case.variational.num_outputs)]
    for label, observable in zip(labels, case.variational.observables, strict=True):
        circuit.save_expectation_value(observable, range(circuit.num_qubits), label=label)
    values = dict(zip(case.parameters, case.point.tolist(), strict=True))
    binds = {parameter: [values[parameter]] for parameter in circuit.parameters}
    result = AerSimulator(method="statevector").run(circuit, parameter_binds=[binds]).result()
    return np.array([result.data(0)[label] for label in labels])


def _readout(case: Case) -> np.ndarray:
    flip = READOUT_ERROR
    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[1 - flip, flip], [flip, 1 - flip]]))
    noisy = EstimatorV2.from_backend(AerSimulator(noise_model=model))
    return _run(noisy, case, case.bound)


def _network(case: Case, estimator: Any) -> Any:
    variational = case.variational
    return EstimatorQNN(
        circuit=variational.circuit,
        estimator=estimator,
        observables=list(variational.observables),
        input_params=list(variational.inputs),
        weight_params=list(variational.weights),
        input_gradients=True,
        default_precision=0.0,
    )


def _forward(make: Callable[[], Any]) -> Callable[[Case], np.ndarray]:
    return lambda case: np.asarray(_network(case, make()).forward(case.inputs, case.weights)[0])


def _backward(make: Callable[[], Any]) -> Callable[[Case], np.ndarray]:
    """Return the Jacobian that a TorchConnector multiplies with in its backward pass."""

    def answer(case: Case) -> np.ndarray:
        network: Any = TorchConnector(_network(case, make())).neural_network
        by_inputs, by_weights = network.backward(case.inputs, case.weights)
        return np.concatenate([by_inputs[0], by_weights[0]], axis=1)

    return answer


def _gradient(kind: type, make: Callable[[], Any]) -> Callable[[Case], np.ndarray]:
    def answer(case: Case) -> np.ndarray:
        observables = list(case.variational.observables)
        each = [1] * len(observables)
        result = kind(make()).run(
            [case.variational.circuit for _ in each],
            observables,
            [case.in_circuit_order for _ in each],
            [list(case.parameters) for _ in each],
        )
        return np.asarray(result.result().gradients)

    return answer


def _reverse(case: Case) -> np.ndarray:
    from qiskit_algorithms.gradients import ReverseEstimatorGradient

    return _gradient(lambda _: ReverseEstimatorGradient(), StatevectorEstimator)(case)  # type: ignore[arg-type]


_ML = "qiskit-machine-learning"

TOOLS = (
    Tool("StatevectorEstimator", "qiskit", "values", _symbolic(StatevectorEstimator)),
    Tool("EstimatorV2, symbolic", "qiskit-aer", "values", _symbolic(_aer), *_MISBOUND),
    Tool("EstimatorV2, symbolic, transpiled", "qiskit-aer", "values", _transpiled, *_MISBOUND),
    Tool("AerSimulator.run(parameter_binds)", "qiskit-aer", "values", _parameter_binds, *_MISBOUND),
    Tool("EstimatorV2, bound", "qiskit-aer", "values", _bound(_aer)),
    Tool("EstimatorQNN", _ML, "values", _forward(StatevectorEstimator)),
    Tool("EstimatorQNN on Aer's EstimatorV2", _ML, "values", _forward(_aer), *_MISBOUND),
    Tool("EstimatorV2, bound", "qiskit-aer", "readout", _readout, *_READOUT),
    Tool("TorchConnector", _ML, "gradients", _backward(StatevectorEstimator), shifts=True),
    Tool("TorchConnector on Aer's EstimatorV2", _ML, "gradients", _backward(_aer), shifts=True),
    Tool(
        *("LinCombEstimatorGradient", _ML, "gradients"),
        _gradient(LinCombEstimatorGradient, StatevectorEstimator),
        shifts=True,
    ),
    Tool(
        *("LinCombEstimatorGradient on Aer's EstimatorV2", _ML, "gradients"),
        _gradient(LinCombEstimatorGradient, _aer),
        shifts=True,
    ),
    Tool(
        *("ParamShiftEstimatorGradient on Aer's EstimatorV2", _ML, "gradients"),
        _gradient(ParamShiftEstimatorGradient, _aer),
        shifts=True,
    ),
    Tool(
        "ReverseEstimatorGradient", "qiskit-algorithms", "gradients", _reverse, *_REVERSE, "refused"
    ),
)
