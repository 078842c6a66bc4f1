"""Any ansatz at a place of a network: a number of features in, a number of values out."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits.ansatz_registry import REGISTRY, build_ansatz
from qhybrid_circuits.encoding import encode
from qhybrid_circuits.encoding_names import QUBITS, check_encoding
from qhybrid_circuits.errors import CircuitError
from qhybrid_circuits.variational import VariationalCircuit

_PIXELS = 4


@dataclass(frozen=True)
class Choice:
    """Which circuit stands at a place.

    Attributes:
        ansatz: A name of `qhybrid_circuits.ANSATZE`, or `module:function`.
        encoding: A key of `qhybrid_circuits.encoding.ENCODINGS`; None leaves the ansatz its own.
        topology: The pairs of qubits, as the ansatz calls them; None leaves it its usual ones.
    """

    ansatz: str
    encoding: str | None = None
    topology: str | None = None


def fitted_ansatz(
    choice: Choice, *, features: int, outputs: int, exact: bool = True, **options: Any
) -> VariationalCircuit:
    """Build an ansatz for a place that has so many features and takes so many values.

    The builder is given those of these arguments that it has parameters for: `qubits`, which the
    features take in the encoding (one each where none is known); `channels`, of four qubits, that
    have these; `observables`, the labels of Pauli strings, one a value; `topology`, where one is
    chosen; and `options`. An encoding that is chosen takes the place of the ansatz's own, see
    `reencoded`; values that the fewer qubits do not give are then completed, see `completed`.

    Args:
        choice: The ansatz, its encoding and topology.
        features: That the place has.
        outputs: Values that the place takes.
        exact: Whether the circuit must have exactly as many inputs and outputs, since no linear
            maps stand around it. Otherwise an ansatz whose encoding is not chosen has a qubit for
            each feature, and as many inputs and outputs as it has.
        **options: Further options, such as `layers`.

    Raises:
        UnknownNameError: There is no ansatz or encoding of this name.
        CircuitError: The ansatz cannot have the topology, encoding or numbers.
    """
    row = REGISTRY.find(choice.ansatz)
    encoding = row.encoding if exact else None
    if choice.encoding is not None:
        encoding, exact = check_encoding(choice.encoding), True
    qubits = QUBITS[encoding or "angle"](features)
    if exact:
        options["observables"] = [each.paulis[0].to_label() for each in _paulis(qubits, outputs)]
    circuit = ansatz_of(choice, qubits, **options)
    if encoding is not None:
        if encoding != row.encoding or circuit.num_inputs != features:
            circuit = reencoded(circuit, encoding, features)
        if circuit.num_qubits < features:
            circuit = completed(circuit, outputs)
    if exact and (circuit.num_inputs, circuit.num_outputs) != (features, outputs):
        raise CircuitError(
            f"ansatz '{choice.ansatz}' of {circuit.num_qubits} qubits maps {circuit.num_inputs} "
            f"inputs to {circuit.num_outputs} outputs, but its place in the model has {features} "
            f"features and takes {outputs} values; choose another ansatz, or an encoding"
        )
    return circuit


def ansatz_of(choice: Choice, qubits: int, **options: Any) -> VariationalCircuit:
    """Build an ansatz of so many qubits, or channels of four that have these, as it is.

    Args:
        choice: The ansatz and its topology.
        qubits: At least these.
        **options: Further options, of which it is given those that it has parameters for.

    Raises:
        CircuitError: The ansatz cannot have the topology or the number of qubits.
    """
    given = {"qubits": qubits, "channels": -(-qubits // _PIXELS), **options}
    if choice.topology is not None:
        _check_topology(choice)
        given["topology"] = choice.topology
    taken = inspect.signature(REGISTRY.find(choice.ansatz).builder).parameters
    return build_ansatz(choice.ansatz, **{k: v for k, v in given.items() if k in taken})


def reencoded(
    variational: VariationalCircuit, encoding: str, num_features: int
) -> VariationalCircuit:
    """Return a circuit with another encoding in the place of its own.

    Its own is all gates that hold inputs; the new one takes the first qubits, and leaves further
    ones in |0>. Weights and observables stay.

    Args:
        variational: A circuit whose inputs stand in the first gates of their qubits.
        encoding: A key of `qhybrid_circuits.encoding.ENCODINGS`.
        num_features: Inputs that the new circuit has.

    Raises:
        UnknownNameError: There is no encoding of this name.
        CircuitError: The features take more qubits than there are, or the circuit takes inputs
            after other gates (data re-uploading), so that it has no encoding of its own.
    """
    encoding = check_encoding(encoding)
    qubits, there = QUBITS[encoding](num_features), variational.num_qubits
    if qubits > there:
        raise CircuitError(
            f"{num_features} features take {qubits} qubits in {encoding} encoding, but ansatz "
            f"'{variational.name}' has {there}; choose another encoding, or an ansatz with more"
        )
    features = tuple(ParameterVector("x", num_features))
    odd = encoding == "dense_angle" and num_features % 2
    front = encode(encoding, [*features, 0.0] if odd else features)
    return with_front(variational, front, features, f"{variational.name}-{encoding}")


def with_front(
    variational: VariationalCircuit,
    front: QuantumCircuit,
    features: Sequence[Parameter],
    name: str,
) -> VariationalCircuit:
    """Return a circuit with other gates in the place of those that hold its inputs.

    Args:
        variational: A circuit whose inputs stand in the first gates of their qubits.
        front: The other gates, on its first qubits.
        features: The parameters of these gates, which become the inputs.
        name: Of the new circuit.

    Raises:
        CircuitError: The circuit takes inputs after other gates.
    """
    circuit, inputs = variational.circuit, set(variational.inputs)
    fresh = circuit.copy_empty_like()
    fresh.compose(front, inplace=True)
    touched: set[object] = set()
    for item in circuit.data:
        if inputs.isdisjoint(parameters_of(item.operation)):
            fresh.append(item)
            touched.update(item.qubits)
        elif not touched.isdisjoint(item.qubits):
            raise CircuitError(
                f"ansatz '{variational.name}' takes inputs after other gates, so that no encoding "
                "can take the place of its own; leave model.encoding out, or choose another ansatz"
            )
    weights, observables = variational.weights, variational.observables
    return VariationalCircuit(name, fresh, tuple(features), weights, observables)


def completed(variational: VariationalCircuit, num_outputs: int) -> VariationalCircuit:
    """Return a circuit that measures more, where its qubits are fewer than the values of a place.

    What it measures already comes first; then those of <Z>, <X> and <Y> of each qubit that it does
    not, then of <ZZ>, <XX> and <YY> of neighbours. All are measured in three bases.

    Raises:
        CircuitError: There are not as many, or it measures more already.
    """
    have = list(variational.observables)
    if len(have) > num_outputs:
        return variational
    every = 3 * (2 * variational.num_qubits - 1)
    for pauli in _paulis(variational.num_qubits, every):
        if len(have) < num_outputs and all(not pauli.equiv(each) for each in have):
            have.append(pauli)
    if len(have) < num_outputs:
        raise CircuitError(
            f"{variational.num_qubits} qubits of ansatz '{variational.name}' give {len(have)} "
            f"values, <Z>, <X> and <Y> of qubits and of neighbours, but its place in the model "
            f"takes {num_outputs}; choose an encoding that takes more qubits"
        )
    return replace(variational, observables=tuple(have))


def _paulis(qubits: int, count: int) -> list[SparsePauliOp]:
    """Return the first of Z, X and Y of each qubit, then ZZ, XX and YY of neighbours."""

    def every() -> Iterator[tuple[str, Sequence[int]]]:
        yield from ((letter, [qubit]) for letter in "ZXY" for qubit in range(qubits))
        yield from ((2 * letter, [q, q + 1]) for letter in "ZXY" for q in range(qubits - 1))

    terms = list(every())[:count]
    return [SparsePauliOp.from_sparse_list([(*term, 1.0)], qubits) for term in terms]


def parameters_of(operation: Any) -> set[Any]:
    """Return the parameters in an instruction's angles."""
    return {p for angle in operation.params for p in getattr(angle, "parameters", ())}


def _check_topology(choice: Choice) -> None:
    if "topology" not in inspect.signature(REGISTRY[choice.ansatz].builder).parameters:
        having = [
            name
            for name, row in REGISTRY.built_in.items()
            if "topology" in inspect.signature(row.builder).parameters
        ]
        raise CircuitError(
            f"ansatz '{choice.ansatz}' has one topology alone; leave model.topology out, or choose "
            f"an ansatz that has several: {', '.join(having)}"
        )
