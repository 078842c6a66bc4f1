from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from qiskit.circuit import (
    Barrier,
    ControlledGate,
    Delay,
    Instruction,
    Parameter,
    ParameterExpression,
    QuantumCircuit,
)
from qiskit.circuit.library import CUGate, IGate, PauliEvolutionGate
from torch import Tensor

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_circuits.caching import Cache
from qhybrid_circuits.encoding.amplitude import AmplitudeEncoding, encoding_in, not_first
from qhybrid_circuits.plain import plain_circuit
from qhybrid_runtime.engine.angles import AngleTable
from qhybrid_runtime.engine.error_site import ErrorSite
from qhybrid_runtime.engine.gates import PARAMETERIZED
from qhybrid_runtime.engine.preparation import Amplitudes, Preparation
from qhybrid_runtime.standard_gates import definition_of, is_standard

#: What a gate's matrix depends on. "data" gates and "errors" differ from sample to sample.
Source = Literal["constant", "weights", "data", "errors"]

#: Instructions that leave an exact pure state as it is.
_IDLE = (Barrier, Delay, IGate)

#: Constant gates on more qubits than this are decomposed where they have a definition.
_DENSE = 4


@dataclass(frozen=True)
class Operation:
    """One gate of a program: a matrix on the targets, applied where the controls hold a value."""

    controls: tuple[int, ...]  # Qubits that decide; the first is bit 0 of `control_state`.
    targets: tuple[int, ...]  # Qubits of the matrix; the first is the least significant bit.
    source: Source  # What the matrix depends on.
    base: str | None = None  # The matrix as a series, a key of `PARAMETERIZED`, if it is one.
    angles: tuple[int, ...] = ()  # Columns of the source's table of angles; an error's site.
    # A constant gate's matrix, shape (2**n_targets, 2**n_targets).
    matrix: np.ndarray | None = field(default=None, compare=False)
    control_state: int = 0  # The controls' value in which the gate acts.

    @property
    def qubits(self) -> tuple[int, ...]:
        """Return controls, then targets, as in Qiskit."""
        return self.controls + self.targets

    @property
    def key(self) -> tuple[object, ...]:
        """Return what the operation does, equal for equal operations."""
        constant = None if self.matrix is None else np.round(self.matrix, 14).tobytes()
        what = (self.source, self.base, self.angles, constant)
        return (self.controls, self.targets, self.control_state, *what)


@dataclass(frozen=True, eq=False)
class Program:
    """A circuit as a list of gates whose matrices follow from two tables of angles.

    Attributes:
        num_qubits: Qubits of the circuit.
        num_inputs: Columns of `inputs` that `expectations` takes.
        num_weights: Columns of `weights` that `expectations` takes.
        operations: The gates in the order in which they act.
        weight_angles: Angles that depend on weights alone, a function of (..., n_weights).
        data_angles: Angles that depend on inputs too, a function of the inputs and weights side
            by side, (..., n_inputs + n_weights).
        amplitudes: The start states of registers that are not |0...0>, a function of the same.
        num_sites: Places where errors may act.
        executors: What `expectations` planned for the program.
    """

    num_qubits: int
    num_inputs: int
    num_weights: int
    operations: tuple[Operation, ...]
    weight_angles: AngleTable
    data_angles: AngleTable
    amplitudes: Amplitudes
    num_sites: int = 0
    executors: Cache[Any] = field(default_factory=lambda: Cache(64), init=False, repr=False)

    def angles(
        self, inputs: Tensor, weights: Tensor, *, check: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return both tables, (G, n_weight_angles) and (G, B, n_data_angles).

        The amplitudes of start states are the last columns of the data angles. Inputs are
        (G, B, n_inputs), weights (G, n_weights).

        Raises, where there is something to `check`, on the CPU only:
            RequestError: All amplitudes of a start state are zero.
            NotFiniteError: An amplitude is NaN or infinite.
        """
        beside = weights[:, None].expand(*inputs.shape[:2], -1)
        both = torch.cat([inputs, beside], dim=-1)
        data_angles = self.data_angles(both)
        if self.amplitudes.registers:
            amplitudes = self.amplitudes(both)
            if check:
                self.amplitudes.check(amplitudes, both)
            data_angles = torch.cat([data_angles, amplitudes], dim=-1)
        return self.weight_angles(weights), data_angles

    @property
    def key(self) -> tuple[object, ...]:
        """Return what is equal for programs that compute the same function."""
        operations = tuple(operation.key for operation in self.operations)
        sizes = (self.num_qubits, self.num_inputs, self.num_weights)
        tables = (self.weight_angles.key, self.data_angles.key, self.amplitudes.key)
        return (sizes, operations, *tables)


def compile_program(
    circuit: QuantumCircuit | VariationalCircuit,
    inputs: Iterable[Parameter] | None = None,
    weights: Iterable[Parameter] | None = None,
) -> Program:
    """Translate a Qiskit circuit into a program for the statevector engine.

    Standard gates of up to three qubits, gates with a matrix, and anything with a definition made
    of these are accepted. Barriers, delays and identities are dropped; so is the global phase,
    which no expectation value sees. Amplitude encodings of |0...0> are start states, their features
    inputs, weights, numbers or expressions of these.

    Args:
        circuit: A circuit that `plain_circuit` takes, or a variational circuit, which knows its
            inputs and weights itself.
        inputs: Parameters that carry data; none where omitted.
        weights: Parameters that are trained; where omitted, all that are not inputs, in the
            circuit's own order.

    Raises:
        CircuitError: A gate is not known (it is named) or not unitary, a parameter is neither input
            nor weight, there is no qubit, or an amplitude encoding is not the first on its qubits.

    Example:
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime.engine import compile_program
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> program = compile_program(circuit)
        >>> program.num_qubits, program.num_inputs, program.num_weights
        (4, 4, 8)
    """
    if isinstance(circuit, VariationalCircuit):
        inputs, weights, circuit = circuit.inputs, circuit.weights, circuit.circuit
    else:
        circuit = plain_circuit(circuit)
    input_list = list(inputs or ())
    if weights is None:
        given = set(input_list)
        weights = [p for p in circuit.parameters if p not in given]
    both = [*input_list, *(weight_list := list(weights))]
    if not circuit.num_qubits:
        raise CircuitError("A compiled circuit must have at least one qubit, but has none")
    known = set(both)
    missing = [p.name for p in circuit.parameters if p not in known]
    if missing:
        raise CircuitError(
            f"Parameters of a compiled circuit must be an input or a weight, but "
            f"{', '.join(missing)} is neither"
        )
    compiler = _Compiler(set(input_list))
    compiler.add_circuit(circuit, range(circuit.num_qubits))
    return Program(
        num_qubits=circuit.num_qubits,
        num_inputs=len(input_list),
        num_weights=len(weight_list),
        operations=tuple(compiler.operations),
        weight_angles=AngleTable(compiler.expressions["weights"], weight_list),
        data_angles=AngleTable(compiler.expressions["data"], both),
        amplitudes=Amplitudes(AngleTable(compiler.features, both), compiler.registers()),
        num_sites=compiler.sites,
    )


class _Compiler:
    def __init__(self, inputs: set[Parameter]) -> None:
        self.inputs = inputs
        self.sites = 0
        self.operations: list[Operation] = []
        self.features: list[ParameterExpression | float] = []
        self._encodings: list[tuple[tuple[int, ...], AmplitudeEncoding]] = []
        self._touched: set[int] = set()
        self.expressions: dict[Source, list[ParameterExpression | float]]
        self.expressions = {"weights": [], "data": []}

    def add_circuit(self, circuit: QuantumCircuit, qubits: Sequence[int]) -> None:
        """Add a circuit whose qubit i is the program's `qubits[i]`."""
        for instruction in circuit.data:
            places = [qubits[circuit.find_bit(bit).index] for bit in instruction.qubits]
            self.add_instruction(instruction.operation, tuple(places))

    def add_instruction(self, gate: Instruction, qubits: tuple[int, ...]) -> None:
        # A global phase on no qubits leaves every expectation value as it is.
        if isinstance(gate, _IDLE) or not qubits:
            return
        encoding = encoding_in(gate)
        if encoding is not None and self._touched.isdisjoint(qubits):
            self._encodings.append((qubits, encoding))
            self.features += encoding.params
            self._touched.update(qubits)
            return
        if isinstance(gate, ErrorSite):
            self._add(Operation((), qubits, "errors", angles=(self.sites,)))
            self.sites += 1
            return
        # Cliffords and annotated operations have no parameters, even where what they do has.
        params = getattr(gate, "params", ())
        symbolic = any(isinstance(p, ParameterExpression) and p.parameters for p in params)
        base = _formula(gate) if symbolic else None
        if base is not None:
            self.add_formula(base, gate, qubits)
        elif symbolic and encoding is not None:
            raise not_first(qubits)
        elif not symbolic and len(qubits) <= _DENSE and (matrix := _matrix(gate)) is not None:
            self.add_constant(matrix, gate, qubits)
        elif (definition := definition_of(gate)) is not None:
            self.add_circuit(definition, qubits)
        elif not symbolic and (matrix := _matrix(gate)) is not None:
            self.add_constant(matrix, gate, qubits)
        else:
            raise CircuitError(
                f"Gate '{gate.name}' on qubits {list(qubits)} is not one the statevector engine "
                "knows: it has no matrix and no definition; decompose the circuit first"
            )

    def registers(self) -> tuple[Preparation, ...]:
        """Return the amplitude encodings; their amplitudes follow the data angles."""
        column = len(self.expressions["data"])
        found = []
        for qubits, gate in self._encodings:
            columns = tuple(range(column, column + len(gate.params)))
            count = gate.num_amplitudes
            found.append(Preparation(qubits, columns[:count], columns[count:]))
            column += len(columns)
        return tuple(found)

    def add_formula(self, base: str, gate: Instruction, qubits: tuple[int, ...]) -> None:
        params: Sequence[ParameterExpression | float] = gate.params
        depends = {q for p in params if isinstance(p, ParameterExpression) for q in p.parameters}
        source: Source = "data" if depends & self.inputs else "weights"
        table = self.expressions[source]
        columns = tuple(range(len(table), len(table) + len(params)))
        table.extend(params)
        count, state = _controls(gate)
        where = (qubits[:count], qubits[count:])
        self._add(Operation(*where, source, base, columns, control_state=state))

    def add_constant(self, matrix: np.ndarray, gate: Instruction, qubits: tuple[int, ...]) -> None:
        count, state = _controls(gate)
        # The rows in which the controls, the least significant bits, hold their value.
        active = matrix[state :: 1 << count, state :: 1 << count]
        where = (qubits[:count], qubits[count:])
        self._add(Operation(*where, "constant", matrix=active, control_state=state))

    def _add(self, operation: Operation) -> None:
        self.operations.append(operation)
        self._touched.update(operation.qubits)


def _controls(gate: Instruction) -> tuple[int, int]:
    """Return the number of control qubits and the value in which they let the gate act."""
    if isinstance(gate, ControlledGate):
        return gate.num_ctrl_qubits, gate.ctrl_state
    return 0, 0


def _formula(gate: Instruction) -> str | None:
    """Return the formula of what a gate does to its targets, or None where there is none."""
    if isinstance(gate, CUGate):
        # CU has a fourth angle, a phase, that the U gate under its control does not know.
        return "cu"
    base = gate.base_gate if isinstance(gate, ControlledGate) else gate
    return base.name if is_standard(base) and base.name in PARAMETERIZED else None


def _matrix(gate: Instruction) -> np.ndarray | None:
    if isinstance(gate, PauliEvolutionGate):
        # The matrix is exact, the definition a product formula: what every other backend runs.
        return None
    try:
        matrix = np.asarray(gate.to_matrix(), dtype=np.complex128)
    except Exception:  # Qiskit's gates raise errors of several kinds where they have no matrix.
        return None
    if not np.allclose(matrix @ matrix.conj().T, np.eye(len(matrix)), atol=1e-10):
        raise CircuitError(f"Gate '{gate.name}' must be unitary, but its matrix is not")
    return matrix
