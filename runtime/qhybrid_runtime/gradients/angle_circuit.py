from collections.abc import Sequence

from qiskit import QuantumCircuit
from qiskit.circuit import (
    CircuitInstruction,
    Instruction,
    Operation,
    ParameterExpression,
    ParameterVector,
)

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_runtime.gradients.shift_rules import ShiftRule, shift_rules
from qhybrid_runtime.standard_gates import definition_of
from qhybrid_runtime.statevector.angles import AngleTable


class AngleCircuit:
    """A circuit in which every angle that is not a number is a parameter of its own.

    A parameter that stands in several gates, or twice in one, is several angles here, so that each
    occurrence can be shifted alone: the product rule. The chain rule, from angles to parameters,
    is the derivative of `table`.

    Attributes:
        circuit: With the parameters `angles[0]`, `angles[1]`, ...
        expressions: What each angle is in terms of inputs and weights.
        rules: The shift rule of each angle.
        table: The angles (..., n_angles) as a differentiable function of inputs and weights side
            by side, (..., n_inputs + n_weights).
    """

    def __init__(self, variational: VariationalCircuit) -> None:
        """Give each angle a parameter.

        Raises:
            CircuitError: A gate has symbolic angles but neither a shift rule nor a definition.
        """
        source = variational.circuit
        self.circuit = QuantumCircuit(*source.qregs, name=source.name)
        self.circuit.add_bits(bit for bit in source.qubits if bit not in set(self.circuit.qubits))
        self.expressions: list[ParameterExpression] = []
        self.rules: list[ShiftRule] = []
        self._angles = ParameterVector("angles", 0)
        self._add(source, self.circuit.qubits)
        self.table = AngleTable(self.expressions, [*variational.inputs, *variational.weights])

    def depends(self, parameters: Sequence[ParameterExpression]) -> list[bool]:
        """Return for each angle whether it is a function of one of the parameters."""
        wanted = set(parameters)
        return [not wanted.isdisjoint(expression.parameters) for expression in self.expressions]

    def _add(self, source: QuantumCircuit, qubits: Sequence[object]) -> None:
        # A circuit's own global phase is dropped: no expectation value sees it.
        for instruction in source.data:
            places = tuple(qubits[source.find_bit(bit).index] for bit in instruction.qubits)
            self._add_operation(instruction.operation, places)

    def _add_operation(self, operation: Operation, qubits: tuple[object, ...]) -> None:
        if not qubits:
            return
        symbolic = _symbolic(operation)
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
                "known for it and it has no definition to be taken apart by; use rotations and "
                "controlled rotations, or another gradient (spsa, adjoint)"
            )

    def _new_angle(self, expression: ParameterExpression, rule: ShiftRule) -> ParameterExpression:
        self.expressions.append(expression)
        self.rules.append(rule)
        self._angles.resize(len(self.expressions))
        return self._angles[-1]


def _symbolic(operation: Operation) -> list[int]:
    """Return the positions of an operation's parameters that are not numbers."""
    # Cliffords and annotated operations are not instructions, and have no parameters of their own.
    params = operation.params if isinstance(operation, Instruction) else ()
    return [
        index
        for index, param in enumerate(params)
        if isinstance(param, ParameterExpression) and param.parameters
    ]
