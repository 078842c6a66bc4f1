import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits.errors import CircuitError, ShapeError
from qhybrid_circuits.plain import laid_out, on_used_qubits, plain_circuit


@dataclass(frozen=True, eq=False)
class VariationalCircuit:
    """A whole quantum layer: encoding, trainable gates, and what is measured at the end.

    Output i of the layer is the expectation value of `observables[i]` in the state that `circuit`
    prepares from |0...0>. Bit order is Qiskit's: qubit 0 is the least significant one.

    Attributes:
        name: The ansatz's name, e.g. "hqconv".
        circuit: The circuit, gates alone; not to be changed afterwards. It is what
            `plain_circuit` makes of the one given, without measurements at the end, and of one that
            was transpiled the part on the qubits in use.
        inputs: The parameters that carry data, in the order of the layer's input features.
        weights: The parameters that are trained, in the order of the layer's weight vector. A
            weight that stands in no gate is allowed (the published code of one paper has them) and
            has a zero gradient.
        observables: Hermitian operators on all of the circuit's qubits, none zero, one an output.
            Those of a transpiled circuit may be as wide as it was before; they follow its layout
            then, and are taken to do so already where they are as wide as the circuit.

    Example:
        >>> from qiskit.circuit import ParameterVector, QuantumCircuit
        >>> from qiskit.quantum_info import SparsePauliOp
        >>> from qhybrid_circuits import VariationalCircuit
        >>> x, w, circuit = ParameterVector("x", 1), ParameterVector("w", 1), QuantumCircuit(1)
        >>> _ = circuit.rx(x[0], 0), circuit.ry(w[0], 0)
        >>> mine = VariationalCircuit("mine", circuit, tuple(x), tuple(w), (SparsePauliOp("Z"),))
        >>> mine.num_inputs, mine.num_weights, mine.num_outputs
        (1, 1, 1)
    """

    name: str
    circuit: QuantumCircuit
    inputs: tuple[Parameter, ...]
    weights: tuple[Parameter, ...]
    observables: tuple[SparsePauliOp, ...]

    def __post_init__(self) -> None:
        """Check that parameters and observables belong to the circuit.

        Raises:
            CircuitError: A parameter of the circuit is neither input nor weight, or both, or listed
                twice, or no Parameter; an observable has another number of qubits, is not Hermitian
                or is zero; there is no observable, or one where there should be a sequence; the
                circuit measures before its end, or has another instruction that is no gate.
        """
        if isinstance(self.observables, SparsePauliOp):
            # Its terms would become outputs of their own.
            raise CircuitError(
                f"Argument `observables` of circuit '{self.name}' must be a sequence of "
                "SparsePauliOp, one an output, but is a single one; write (observable,)"
            )
        for field in ("inputs", "weights", "observables"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for name in ("inputs", "weights"):
            wrong = [each for each in getattr(self, name) if not isinstance(each, Parameter)]
            if wrong:
                raise CircuitError(
                    f"Argument `{name}` of circuit '{self.name}' must be Parameters of the "
                    f"circuit, but has {wrong[0]!r}; circuit.get_parameter(name) finds one by name"
                )
        transpiled = self.circuit.layout is not None
        self._set(plain_circuit(self.circuit, self.name), laid_out(self.circuit, self.observables))
        self._check_parameters()
        self._check_observables()
        if transpiled:
            self._set(*on_used_qubits(self.circuit, self.observables))

    def _repr_html_(self) -> str:
        """Return the circuit's drawing for a notebook."""
        drawing = html.escape(str(self.circuit.draw("text", fold=120)))
        style = "line-height: 1.1; font-family: monospace"
        return f"{html.escape(repr(self))}<pre style='{style}'>{drawing}</pre>"

    def _set(self, circuit: QuantumCircuit, observables: tuple[SparsePauliOp, ...]) -> None:
        object.__setattr__(self, "circuit", circuit)
        object.__setattr__(self, "observables", observables)

    def _check_parameters(self) -> None:
        listed = [*self.inputs, *self.weights]
        twice = sorted(p.name for p, count in Counter(listed).items() if count > 1)
        if twice:
            raise CircuitError(
                f"Parameters of circuit '{self.name}' must be an input or a weight, once, but "
                f"{', '.join(twice)} is listed more than once"
            )
        known = set(listed)
        unlisted = [p.name for p in self.circuit.parameters if p not in known]
        if unlisted:
            raise CircuitError(
                f"Parameters of circuit '{self.name}' must be an input or a weight, but "
                f"{', '.join(unlisted)} is neither; add it to `inputs` or `weights`"
            )

    def _check_observables(self) -> None:
        if not self.observables:
            raise CircuitError(f"Circuit '{self.name}' must have at least one observable")
        for index, observable in enumerate(self.observables):
            if not isinstance(observable, SparsePauliOp):
                raise CircuitError(
                    f"Observable {index} of circuit '{self.name}' must be a SparsePauliOp, but is "
                    f"a {type(observable).__name__}; write SparsePauliOp(observable)"
                )
            if observable.num_qubits != self.num_qubits:
                raise CircuitError(
                    f"Observable {index} of circuit '{self.name}' must act on {self.num_qubits} "
                    f"qubits, but acts on {observable.num_qubits}"
                )
            if np.abs(np.imag(observable.coeffs)).max() > 1e-12:
                raise CircuitError(
                    f"Observable {index} of circuit '{self.name}' must be Hermitian, but has "
                    "complex coefficients"
                )
            if not observable.simplify().coeffs.any():
                raise CircuitError(
                    f"Observable {index} of circuit '{self.name}' must not be zero: its output "
                    "would be, and Qiskit's primitives refuse it; leave it out"
                )

    @property
    def num_qubits(self) -> int:
        return int(self.circuit.num_qubits)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_weights(self) -> int:
        return len(self.weights)

    @property
    def num_outputs(self) -> int:
        return len(self.observables)

    def bind_weights(self, values: Sequence[float] | np.ndarray) -> QuantumCircuit:
        """Return the circuit with numbers for its weights and its inputs still symbolic.

        Args:
            values: One number a weight, shape (n_weights,).

        Raises:
            ShapeError: There are more or fewer values than weights.
        """
        if np.shape(values) != (self.num_weights,):
            raise ShapeError(
                f"Argument `values` must have shape ({self.num_weights},), one number a weight of "
                f"circuit '{self.name}', but has shape {np.shape(values)}"
            )
        # numpy's scalars are refused by ParameterExpression.bind in places; Python's are not.
        numbers = {
            weight: float(value)
            for weight, value in zip(self.weights, values, strict=True)
            if self.circuit.has_parameter(weight)
        }
        return self.circuit.assign_parameters(numbers)

    def __repr__(self) -> str:
        return (
            f"VariationalCircuit('{self.name}', {self.num_qubits} qubits, {self.num_inputs} inputs,"
            f" {self.num_weights} weights, {self.num_outputs} outputs)"
        )
