from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BaseEstimatorV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit_machine_learning.gradients import BaseEstimatorGradient, EstimatorGradientResult
from torch import Tensor

from qhybrid_runtime.estimators.statevector import StatevectorEngineEstimator
from qhybrid_runtime.statevector.engine import expectations
from qhybrid_runtime.statevector.observables import ObservableSet
from qhybrid_runtime.statevector.program import Program, compile_program

#: Programs that a gradient keeps; an EstimatorQNN uses one circuit, a user's loop a few.
_KEPT = 16


def jacobian(
    program: Program, observables: ObservableSet, inputs: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Return each sample's derivatives: one forward pass and one adjoint sweep an observable.

    Args:
        program: A compiled circuit.
        observables: What is measured.
        inputs: Shape (N, n_inputs).
        weights: Each sample's own weights, shape (N, n_weights).

    Returns:
        Shapes (N, n_obs, n_inputs) and (N, n_obs, n_weights).
    """
    with torch.enable_grad():
        leaves = [inputs.detach().requires_grad_(), weights.detach().requires_grad_()]
        values = expectations(program, observables, leaves[0][:, None], leaves[1])
        by_input, by_weight = [], []
        for row in range(observables.count):
            grads = torch.autograd.grad(
                values[..., row].sum(), leaves, retain_graph=True, materialize_grads=True
            )
            by_input.append(grads[0])
            by_weight.append(grads[1])
    return torch.stack(by_input, dim=1), torch.stack(by_weight, dim=1)


class AdjointEstimatorGradient(BaseEstimatorGradient):
    """Exact gradients of expectation values, without a single circuit of shifted parameters.

    A drop-in for the gradient argument of a stock EstimatorQNN: samples that differ only in the
    observable share a forward pass, and all samples of a circuit are one batch.
    """

    def __init__(self, estimator: BaseEstimatorV2 | None = None) -> None:
        """Create the gradient.

        Args:
            estimator: Kept for the interface; derivatives come from the exact engine, not from it.
        """
        super().__init__(StatevectorEngineEstimator() if estimator is None else estimator)
        self._programs: dict[int, tuple[QuantumCircuit, Program]] = {}

    def _run(
        self,
        circuits: Sequence[QuantumCircuit],
        observables: Sequence[BaseOperator],
        parameter_values: Sequence[Sequence[float]] | np.ndarray,
        parameters: Sequence[Sequence[Parameter]],
        **options: Any,
    ) -> EstimatorGradientResult:
        gradients: list[np.ndarray] = [np.empty(0)] * len(circuits)
        by_circuit: dict[int, list[int]] = {}
        for index, circuit in enumerate(circuits):
            by_circuit.setdefault(id(circuit), []).append(index)
        for members in by_circuit.values():
            circuit = circuits[members[0]]
            table, samples, rows = self._table(
                circuit,
                [observables[i] for i in members],
                [tuple(parameter_values[i]) for i in members],
            )
            column = {parameter: i for i, parameter in enumerate(circuit.parameters)}
            for index, sample, row in zip(members, samples, rows, strict=True):
                wanted = [column[parameter] for parameter in parameters[index]]
                gradients[index] = table[sample, row, wanted]
        metadata = [{"parameters": wanted} for wanted in parameters]
        return EstimatorGradientResult(gradients=gradients, metadata=metadata, options=options)

    def _table(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[BaseOperator],
        values: Sequence[tuple[float, ...]],
    ) -> tuple[np.ndarray, list[int], list[int]]:
        """Return derivatives (n_different_samples, n_different_observables, n_parameters).

        With them, for each entry of `values` which sample, and which observable, it is.
        """
        sample_of = {value: i for i, value in enumerate(dict.fromkeys(values))}
        unique = {id(observable): observable for observable in observables}
        row_of = {identity: row for row, identity in enumerate(unique)}
        program = self._program(circuit)
        measured = ObservableSet(
            [SparsePauliOp(observable) for observable in unique.values()], circuit.num_qubits
        )
        weights = torch.tensor(list(sample_of), dtype=torch.float64)
        _, table = jacobian(program, measured, weights.new_empty(len(weights), 0), weights)
        samples = [sample_of[value] for value in values]
        return table.numpy(), samples, [row_of[id(observable)] for observable in observables]

    def _program(self, circuit: QuantumCircuit) -> Program:
        known = self._programs.get(id(circuit))
        if known is None:
            if len(self._programs) >= _KEPT:
                self._programs.pop(next(iter(self._programs)))
            # The circuit is kept too, so that its id cannot come to mean another one.
            known = (circuit, compile_program(circuit))
            self._programs[id(circuit)] = known
        return known[1]
