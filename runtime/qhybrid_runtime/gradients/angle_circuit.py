from collections.abc import Sequence, Set

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import (
    CircuitInstruction,
    Operation,
    Parameter,
    ParameterExpression,
    ParameterVector,
)

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_circuits.encoding.state_tree import with_preparation_gates
from qhybrid_runtime.engine.angles import AngleTable
from qhybrid_runtime.gradients.amplitude_shift import AmplitudeShift, depends
from qhybrid_runtime.gradients.shift_rules import ShiftRule, shift_rules
from qhybrid_runtime.standard_gates import definition_of, symbolic_params


class AngleCircuit:
    """A circuit in which every angle that is not a number is a parameter of its own.

    A parameter that stands in several gates, or twice in one, is several angles here, so that each
    occurrence can be shifted alone: the product rule. The chain rule, from angles to parameters,
    is the derivative of `table`.

    Amplitude encodings of inputs or weights become gates whose angles have a column each, too, but
    are not differentiable functions everywhere: see `AmplitudeShift`.

    Attributes:
        circuit: With the parameters `angles[0]`, `angles[1]`, ...
        expressions: Each angle as a function of inputs and weights.
        rules: The shift rule of each angle.
        encodings: The amplitude encodings.
        table: The angles (..., n_angles) as a differentiable function of inputs and weights side
            by side, (..., n_inputs + n_weights); zero where `encodings` knows them.
    """

    def __init__(self, variational: VariationalCircuit) -> None:
        """Give each angle a parameter.

        Raises:
            CircuitError: A gate has symbolic angles but neither a shift rule nor a definition, or
                an amplitude encoding is not the first on its qubits.
        """
        prepared = with_preparation_gates(variational.circuit)
        source = prepared.circuit
        self.circuit = QuantumCircuit(*source.qregs, name=source.name)
        self.circuit.add_bits(bit for bit in source.qubits if bit not in set(self.circuit.qubits))
        self.expressions: list[ParameterExpression] = []
        self.rules: list[ShiftRule] = []
        self._angles = ParameterVector("angles", 0)
        self._add(source, self.circuit.qubits)
        parameters = [*variational.inputs, *variational.weights]
        numbered = enumerate(self.expressions)
        column = {each: index for index, each in numbered if isinstance(each, Parameter)}
        self.encodings = tuple(
            AmplitudeShift(encoding, [column[angle] for angle in angles], parameters)
            for encoding, angles in zip(prepared.encodings, prepared.angles, strict=True)
        )
        known = {index for encoding in self.encodings for index in encoding.columns}
        others = [0.0 if i in known else each for i, each in enumerate(self.expressions)]
        self.table = AngleTable(others, parameters)

    def at(self, parameters: np.ndarray) -> np.ndarray:
        """Return the angles (B, n_angles) at parameters (B, n_inputs + n_weights)."""
        angles = self.table(torch.as_tensor(parameters)).numpy().copy()
        for encoding in self.encodings:
            angles[:, encoding.columns] = encoding.angles(parameters)
        return angles

    def depends(self, parameters: Set[Parameter]) -> list[bool]:
        """Return for each angle whether it is a function of one of the parameters."""
        return [depends(expression, parameters) for expression in self.expressions]

    def _add(self, source: QuantumCircuit, qubits: Sequence[object]) -> None:
        # A circuit's own global phase is dropped: no expectation value sees it.
        for instruction in source.data:
            places = tuple(qubits[source.find_bit(bit).index] for bit in instruction.qubits)
            self._add_operation(instruction.operation, places)

    def _add_operation(self, operation: Operation, qubits: tuple[object, ...]) -> None:
        if not qubits:
            return
        symbolic = symbolic_params(operation)
        if not symbolic:
            self.circuit.append(CircuitInstruction(operation, qubits))
        elif (rules := shift_rules(operation)) is not None:
            fresh = operation.to_mutable()
            params = list(operation.params)
            for index in symbolic:
                params[index] = self._new_angle(operation.params[index], rules[index])
            fresh.params = params
            self.circuit.append(CircuitInstruction(fresh, qubits))
        elif (definition := definition_of(operation)) is not None:
            self._add(definition, qubits)
        else:
            raise CircuitError(
                f"Gate '{operation.name}' has a symbolic angle, but no parameter-shift rule is "
                "known for it and it has no definition to decompose it by; use rotations and "
                "controlled rotations, or another gradient (spsa, adjoint)"
            )

    def _new_angle(self, expression: ParameterExpression, rule: ShiftRule) -> ParameterExpression:
        self.expressions.append(expression)
        self.rules.append(rule)
        self._angles.resize(len(self.expressions))
        return self._angles[-1]
