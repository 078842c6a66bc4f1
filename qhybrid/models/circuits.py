"""Which circuit stands at a place of a model: the model's own, or what a request chose."""

from qiskit.quantum_info import SparsePauliOp, pauli_basis

from qhybrid.models.spec import ModelSpec
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz import MOST_QUBITS_OF_ALL
from qhybrid_circuits.ansatz_registry import REGISTRY as ANSATZE
from qhybrid_circuits.encoding_names import QUBITS
from qhybrid_circuits.errors import CircuitError, RequestError
from qhybrid_circuits.fitting import (
    Choice,
    ansatz_of,
    fitted_ansatz,
    parameters_of,
    reencoded,
    with_front,
)


def circuit_at(
    spec: ModelSpec, own: str, *, size: int, exact: bool = True, fixed: bool = False
) -> VariationalCircuit:
    """Return the circuit of a place that has `size` features and takes as many values.

    Args:
        spec: The model, and the ansatz, encoding and topology that were chosen for it.
        own: The ansatz that stands there where no other was chosen; its variant is the model's.
        size: Features, and values.
        exact: See `fitted_ansatz`.
        fixed: Whether the ansatz stays its own, in its usual layers, whichever was chosen.

    Raises:
        CircuitError: The circuit does not fit.
    """
    name = own if fixed or spec.ansatz is None else spec.ansatz
    options: dict[str, object] = {} if fixed else {"layers": spec.ansatz_layers}
    if name == own:
        options["variant"] = spec.ansatz_variant
    choice = Choice(name, spec.encoding, spec.topology)
    try:
        return fitted_ansatz(choice, features=size, outputs=size, exact=exact, **options)
    except CircuitError as error:
        if exact or spec.encoding is not None or ANSATZE[name].encoding is None:
            raise
        raise CircuitError(f"{error}; with model.encoding the qubits are fewer") from error


def bottleneck_circuit(
    spec: ModelSpec, own: VariationalCircuit, features: int
) -> VariationalCircuit:
    """Return the circuit of a bottleneck, whose weights come as inputs, after the features.

    Args:
        spec: The model, and the ansatz, encoding and topology that were chosen for it.
        own: The model's own, and what is returned where no other was chosen; where no encoding was,
            the other has its own's.
        features: How many of the own circuit's first inputs are features.

    Raises:
        CircuitError: The circuit has too many qubits for all Pauli strings, or does not fit.
    """
    if spec.has_own_circuits:
        return own
    name, encoding = spec.ansatz or str(spec.row.ansatz), spec.encoding or "amplitude"
    amplitudes = encoding == "amplitude"
    qubits = own.num_qubits if amplitudes else QUBITS[encoding](features)
    options = {"layers": spec.ansatz_layers, "observables": "Z" * qubits}
    _check_all_paulis(spec, qubits)
    circuit = ansatz_of(Choice(name, topology=spec.topology), qubits, **options)
    _check_all_paulis(spec, circuit.num_qubits)
    if amplitudes:
        data, front = set(own.inputs[:features]), own.circuit.copy_empty_like()
        for item in own.circuit.data:
            if not data.isdisjoint(parameters_of(item.operation)):
                front.append(item)
        named = f"{circuit.name}-{encoding}"
        circuit = with_front(circuit, front, own.inputs[:features], named)
    else:
        circuit = reencoded(circuit, encoding, features)
    strings = tuple(SparsePauliOp(each) for each in pauli_basis(circuit.num_qubits)[1:])
    inputs = (*circuit.inputs, *circuit.weights)
    return VariationalCircuit(circuit.name, circuit.circuit, inputs, (), strings)


def _check_all_paulis(spec: ModelSpec, qubits: int) -> None:
    if qubits > MOST_QUBITS_OF_ALL:
        raise CircuitError(
            f"the bottleneck of {spec.name} measures all Pauli strings of its circuit, which has "
            f"{qubits} qubits, but {MOST_QUBITS_OF_ALL} at most; choose a smaller model.dim, or "
            "another ansatz or encoding"
        )


def refuse_chosen(spec: ModelSpec) -> None:
    """Refuse another circuit in a variant whose circuits are those of published code.

    Raises:
        RequestError: One was chosen.
    """
    if not spec.has_own_circuits:
        raise RequestError(
            f"variant={spec.variant} of {spec.name} has the circuits of the published code; leave "
            "model.ansatz, model.encoding and model.topology out, or leave out the variant"
        )
