from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BaseEstimatorV2
from qiskit.providers import Options
from qiskit.quantum_info import SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit.transpiler import TranspileLayout
from qiskit.transpiler.passmanager import BasePassManager
from qiskit_machine_learning.gradients import BaseEstimatorGradient, EstimatorGradientResult

from qhybrid_circuits.caching import Cache, Identity
from qhybrid_circuits.plain import plain_circuit
from qhybrid_runtime.backends.statevector import StatevectorEngineEstimator
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program_cache import ProgramCache
from qhybrid_runtime.gradients.adjoint import jacobian
from qhybrid_runtime.tasks import narrowed


class AdjointEstimatorGradient(BaseEstimatorGradient):
    """Exact gradients of expectation values, without a single circuit of shifted parameters.

    A drop-in for the gradient argument of a stock EstimatorQNN: samples that differ only in the
    observable share a forward pass, and all samples of a circuit are one batch.

    Example:
        >>> import numpy as np
        >>> from qiskit_machine_learning.neural_networks import EstimatorQNN
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import AdjointEstimatorGradient, get_backend
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> network = EstimatorQNN(
        ...     circuit=circuit.circuit,
        ...     estimator=get_backend("statevector").estimator(),
        ...     observables=list(circuit.observables),
        ...     input_params=list(circuit.inputs),
        ...     weight_params=list(circuit.weights),
        ...     gradient=AdjointEstimatorGradient(),
        ... )
        >>> _, by_weights = network.backward(np.zeros((5, 4)), np.zeros(8))
        >>> by_weights.shape
        (5, 4, 8)
    """

    def __init__(
        self,
        estimator: BaseEstimatorV2 | None = None,
        options: Options | None = None,
        *,
        pass_manager: BasePassManager | None = None,
    ) -> None:
        """Create the gradient, with the arguments of the stock ones.

        Args:
            estimator: Kept for the interface, and never run.
            options: Kept for the interface, and returned with each result.
            pass_manager: What circuits go through first; observables follow the layout.
        """
        estimator = StatevectorEngineEstimator() if estimator is None else estimator
        super().__init__(estimator, options, pass_manager=pass_manager)
        self._programs = ProgramCache()
        self._passed: Cache[tuple[QuantumCircuit, TranspileLayout | None]] = Cache(16)

    def _run(
        self,
        circuits: Sequence[QuantumCircuit],
        observables: Sequence[BaseOperator],
        parameter_values: Sequence[Sequence[float]] | np.ndarray,
        parameters: Sequence[Sequence[Parameter]],
        **options: Any,
    ) -> EstimatorGradientResult:
        gradients: list[np.ndarray] = [np.empty(0)] * len(circuits)
        by_circuit: dict[int, list[int]] = defaultdict(list)
        for index, circuit in enumerate(circuits):
            by_circuit[id(circuit)].append(index)
        for members in by_circuit.values():
            circuit, measured = circuits[members[0]], [observables[i] for i in members]
            values = [tuple(parameter_values[i]) for i in members]
            table, samples, rows = self._table(circuit, measured, values)
            column = {parameter: i for i, parameter in enumerate(circuit.parameters)}
            for index, sample, row in zip(members, samples, rows, strict=True):
                wanted = [column[parameter] for parameter in parameters[index]]
                gradients[index] = table[sample, row, wanted]
        metadata = [{"parameters": wanted} for wanted in parameters]
        return EstimatorGradientResult(gradients, metadata, Options(**options))

    def _table(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[BaseOperator],
        values: Sequence[tuple[float, ...]],
    ) -> tuple[np.ndarray, list[int], list[int]]:
        """Return derivatives (n_different_samples, n_different_observables, n_parameters).

        Returned with them are the sample's and the observable's number for each entry of `values`.
        """
        sample_of = {value: i for i, value in enumerate(dict.fromkeys(values))}
        unique = {id(observable): observable for observable in observables}
        row_of = {identity: row for row, identity in enumerate(unique)}
        plain, observed = self._prepared(circuit, list(map(SparsePauliOp, unique.values())))
        program = self._programs.get(plain, circuit.parameters)
        measured = ObservableSet(observed, plain.num_qubits)
        table = jacobian(program, measured, torch.tensor(list(sample_of), dtype=torch.float64))
        samples = [sample_of[value] for value in values]
        return table.numpy(), samples, [row_of[id(observable)] for observable in observables]

    def _prepared(
        self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]
    ) -> tuple[QuantumCircuit, Sequence[SparsePauliOp]]:
        """Return both as the pass manager leaves them, on the qubits in use."""
        manager = self._pass_manager

        def passed() -> tuple[QuantumCircuit, TranspileLayout | None]:
            made = circuit if manager is None else manager.run(circuit)
            return plain_circuit(made), made.layout

        plain, layout = self._passed.get(Identity(circuit), passed)
        if manager is not None:
            observables = [each.apply_layout(layout) for each in observables]
        return narrowed(plain, layout, observables)
