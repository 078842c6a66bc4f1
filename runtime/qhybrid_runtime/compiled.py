"""Compile circuits once for all their evaluations: by the engine, by a primitive, on a QPU."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakValueDictionary

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from torch import Tensor

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.checks import check_finite
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program, compile_program
from qhybrid_runtime.tasks import LayerBindings

#: One tensor for each circuit of a round.
Tensors = Sequence[Tensor]


@dataclass(frozen=True, eq=False)
class Structure:
    """The function that a circuit computes; equal functions are one object, to compare fast."""

    key: tuple[object, ...]

    def __reduce__(self) -> tuple[object, ...]:
        # A copy, in another process too, is the object that is known there.
        return structure_of, (self.key,)


#: Every structure that a circuit has at present. Numbers in their place would mean other structures
#: in another process, and the table would only grow.
_STRUCTURES: WeakValueDictionary[tuple[object, ...], Structure] = WeakValueDictionary()


def structure_of(key: tuple[object, ...]) -> Structure:
    """Return the one structure with this key."""
    return _STRUCTURES.setdefault(key, Structure(key))


@dataclass(frozen=True, eq=False)
class CompiledCircuit:
    """A variational circuit with everything that is made from it once.

    Nothing here changes from call to call, and nothing depends on where the circuit runs. Parts are
    made on first use, since a QPU needs others than the engine does.

    Attributes:
        variational: The circuit with its inputs, weights and observables.
    """

    variational: VariationalCircuit

    @cached_property
    def program(self) -> Program:
        """The circuit, compiled for the engine."""
        return compile_program(self.variational)

    @cached_property
    def jacobian_program(self) -> Program:
        """The circuit compiled with its weights as further inputs, each sample's its own."""
        return compile_program(self.variational.circuit, inputs=self._parameters)

    @cached_property
    def observables(self) -> ObservableSet:
        """The observables, prepared for the engine."""
        return ObservableSet(self.variational.observables, self.variational.num_qubits)

    @cached_property
    def structure(self) -> Structure:
        """The same object for circuits that compute the same function of inputs and weights."""
        return structure_of((self.program.key, self.observables.key))

    @cached_property
    def active(self) -> np.ndarray:
        """A mask of the inputs and weights, side by side, that stand in a gate."""
        has = self.variational.circuit.has_parameter
        return np.array([has(parameter) for parameter in self._parameters], dtype=bool)

    @cached_property
    def circuit(self) -> QuantumCircuit:
        """The circuit with its parameters named `inputs[...]` and `weights[...]`, and so sorted."""
        inputs = ParameterVector("inputs", self.variational.num_inputs)
        weights = ParameterVector("weights", self.variational.num_weights)
        renamed = zip(self._parameters, [*inputs, *weights], self.active, strict=True)
        used = {old: new for old, new, stands in renamed if stands}
        return self.variational.circuit.assign_parameters(used)

    @cached_property
    def _weight_names(self) -> frozenset[str]:
        inputs = int(self.active[: self.variational.num_inputs].sum())
        return frozenset(parameter.name for parameter in self.circuit.parameters[inputs:])

    @property
    def _parameters(self) -> list[Parameter]:
        """The inputs and weights, side by side."""
        return [*self.variational.inputs, *self.variational.weights]

    @cached_property
    def _column(self) -> ObservablesArray:
        return ObservablesArray([[observable] for observable in self.variational.observables])

    def pub(self, inputs: Tensor, weights: Tensor, precision: float) -> EstimatorPub:
        """Return the PUB (n_outputs, B) of inputs (B, n_inputs) and weights (n_weights,).

        Its precision is the standard error to ask for; 0 where values are exact.

        Raises:
            NotFiniteError: An input or weight is NaN or infinite.
        """
        rows, vector = _array("inputs", inputs), _array("weights", weights)
        values = np.concatenate([rows, np.broadcast_to(vector, (len(rows), len(vector)))], axis=1)
        return self.pub_of(self.circuit, values[:, self.active], precision)

    def pub_of(self, circuit: QuantumCircuit, values: np.ndarray, precision: float) -> EstimatorPub:
        """Return a PUB of the observables, of shape (n_outputs, N), for any form of the circuit.

        `values` are in the order of `circuit.parameters`, shape (N, n_parameters).
        """
        data, shape = {tuple(circuit.parameters): values}, (len(values),)
        weights = self._weight_names if circuit is self.circuit else None
        bindings = LayerBindings(data, shape, weights)
        # Validating would write each observable out once more at every call.
        return EstimatorPub(circuit, self._column, bindings, precision, validate=False)


def _array(name: str, tensor: Tensor) -> np.ndarray:
    on_host = tensor.detach().cpu()
    check_finite(name, on_host)
    return np.asarray(on_host.double())


def stacks(
    circuits: Sequence[CompiledCircuit], inputs: Tensors, weights: Tensors
) -> Iterator[tuple[list[int], CompiledCircuit, Tensor, Tensor]]:
    """Yield what one batched call can evaluate: circuits of one structure, batch size and dtype.

    Each is the indices of its G circuits, the first of these, inputs (G, B, n_inputs) and weights
    (G, n_weights).
    """
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, (circuit, rows) in enumerate(zip(circuits, inputs, strict=True)):
        alike[circuit.structure, rows.shape, rows.dtype, rows.device].append(index)
    for members in alike.values():
        rows = torch.stack([inputs[index] for index in members])
        vectors = torch.stack([weights[index] for index in members])
        yield members, circuits[members[0]], rows, vectors
