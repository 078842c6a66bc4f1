"""The form that circuits are in everywhere: gates on |0...0> alone, and observables as wide.

What changes no expectation value at the end of a circuit is taken out or written out here, for the
engine, the backends, lowering and reports alike; what is no gate besides is refused by its name.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from qiskit.circuit import (
    Barrier,
    BoxOp,
    CircuitInstruction,
    Delay,
    ForLoopOp,
    Gate,
    Instruction,
    Parameter,
    QuantumCircuit,
    Qubit,
    Reset,
)
from qiskit.circuit.library import IGate
from qiskit.quantum_info import PauliList, SparsePauliOp

from qhybrid_circuits.encoding.amplitude import AmplitudeEncoding
from qhybrid_circuits.errors import CircuitError, QHybridError

#: Instructions that leave the state as it is.
_IDLE = (Barrier, Delay, IGate)

#: What a circuit does whose instruction of this name is refused.
_FAULTS = {
    "measure": "measures before its end",
    "reset": "resets qubits that gates acted on before",
}


def plain_circuit(circuit: QuantumCircuit, name: str | None = None) -> QuantumCircuit:
    """Return a circuit with the same expectation values that is made of gates alone.

    Classical bits, measurements at the end and resets of qubits that no gate has touched are left
    out; loops with fixed ranges, boxes, and instructions that hold any of these are written out. So
    `Initialize` becomes a state preparation. A circuit of gates is returned as it is.

    Args:
        circuit: Its qubits, parameters and global phase are kept.
        name: What messages call the circuit; its own name where omitted.

    Raises:
        CircuitError: There is another instruction that is no gate, such as `if_else`, a measurement
            before the end, or a reset of a qubit that is not in |0>.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qhybrid_circuits import plain_circuit
        >>> circuit = QuantumCircuit(1, 1)
        >>> _ = circuit.h(0), circuit.measure(0, 0)
        >>> dict(plain_circuit(circuit).count_ops())
        {'h': 1}
    """
    with _consistent(circuit, name):
        twice = (item for item in circuit.data if len({*item.qubits}) < len(item.qubits))
        if (item := next(twice, None)) is not None:
            raise ValueError(f"'{item.operation.name}' acts on a qubit twice")
        if not circuit.num_clbits and all(map(_is_plain, circuit.data)):
            return circuit
        flat = flattened(circuit)
        measures = "measure" in flat.count_ops()
        bare = flat.remove_final_measurements(inplace=False) if measures else flat
        plain = gates_only(bare, name)
    if measures:
        # Without the circuit's name, so that Python shows it once.
        message = "Measurements at the end of a circuit are left out: observables are measured"
        warnings.warn(message, stacklevel=4)
    return plain


@contextmanager
def _consistent(circuit: QuantumCircuit, name: str | None = None) -> Iterator[None]:
    """Name a circuit that Qiskit's own methods fail on, such as one from a damaged QPY file.

    Raises:
        CircuitError: The block raised any exception.
    """
    try:
        yield
    except QHybridError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CircuitError(
            f"Circuit '{name or circuit.name}' must be consistent, but is not ({reason}); build it "
            "again, or load it from a file that is not damaged"
        ) from error


def flattened(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit with loops, boxes and instructions that hold more than gates written out."""
    flat = circuit.copy_empty_like()
    for item in circuit.data:
        parts = _parts(item)
        if parts is None:
            flat.append(item)
            continue
        for part in parts:
            flat.compose(flattened(part), item.qubits, item.clbits, inplace=True)
    return flat


def gates_only(circuit: QuantumCircuit, name: str | None = None) -> QuantumCircuit:
    """Return a flat circuit without classical bits and without resets of untouched qubits.

    The arguments and the error are those of `plain_circuit`.
    """
    facts = {"name": circuit.name, "metadata": circuit.metadata}
    plain = QuantumCircuit(circuit.qubits, global_phase=circuit.global_phase, **facts)
    for register in circuit.qregs:
        plain.add_register(register)
    touched: set[Qubit] = set()
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, Reset) and touched.isdisjoint(item.qubits):
            continue
        if item.clbits or not _is_plain(item):
            places = [circuit.find_bit(qubit).index for qubit in item.qubits]
            raise CircuitError(
                f"Circuit '{name or circuit.name}' "
                f"{_FAULTS.get(operation.name, 'does what no gate does')} (instruction "
                f"'{operation.name}' on qubits {places}), but must prepare one state from |0...0> "
                "by gates; measure at the end only, and leave out what depends on measured bits"
            )
        if not isinstance(operation, _IDLE):
            touched.update(item.qubits)
        plain.append(item)
    return plain


def _is_plain(item: CircuitInstruction) -> bool:
    """Return whether an instruction is a gate, or made of gates."""
    if item.is_standard_gate():  # told without making the gate's Python object
        return True
    operation = item.operation
    # Operations that are no instructions (Cliffords, annotated operations) are unitary.
    if not isinstance(operation, Instruction) or isinstance(operation, (Gate, *_IDLE)):
        return True
    definition = _definition(operation)
    return definition is not None and all(map(_is_plain, definition.data))


def _parts(item: CircuitInstruction) -> list[QuantumCircuit] | None:
    """Return the circuits that an instruction stands for, None where it stays as it is."""
    if _is_plain(item):
        return None
    operation = item.operation
    if isinstance(operation, BoxOp):
        return [operation.body]
    if not isinstance(operation, ForLoopOp):
        definition = _definition(operation)
        return None if definition is None else [definition]
    indices, variable, body = operation.params
    if variable is None:
        return [body for _ in indices]
    if not isinstance(variable, Parameter):  # a classical variable, which gates do not take
        return None
    return [body.assign_parameters({variable: index}, strict=False) for index in indices]


def _definition(operation: Instruction) -> QuantumCircuit | None:
    if operation.name != "ParameterizedInitialize":
        return operation.definition
    # qiskit-machine-learning's raw_feature_vector, which has none while its features are symbols.
    circuit = QuantumCircuit(operation.num_qubits)
    circuit.reset(circuit.qubits)
    circuit.append(AmplitudeEncoding(operation.params), circuit.qubits)
    return circuit


def plain_request(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp] | None
) -> tuple[QuantumCircuit, tuple[SparsePauliOp, ...] | None]:
    """Return a circuit and what is measured, both in the form that is used everywhere.

    Where `observables` is None, every qubit is measured that the circuit had before it was
    transpiled, which None stands for where it was not.

    Raises:
        CircuitError: `plain_circuit` refuses the circuit.
    """
    if observables is None and circuit.layout is not None:
        observables = [SparsePauliOp("Z" * len(circuit.layout.final_index_layout()))]
    measured = None if observables is None else laid_out(circuit, observables)
    return plain_circuit(circuit), measured


def laid_out(
    circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]
) -> tuple[SparsePauliOp, ...]:
    """Return observables on the qubits of a circuit that may have been transpiled.

    Those that are as wide as the circuit was before follow its layout; one as wide as the circuit
    is now is taken to do so already.

    Raises:
        CircuitError: Its layout is damaged.
    """
    layout = circuit.layout
    with _consistent(circuit):
        before = circuit.num_qubits if layout is None else len(layout.final_index_layout())
    if before == circuit.num_qubits:
        return tuple(observables)
    return tuple(
        each.apply_layout(layout) if getattr(each, "num_qubits", None) == before else each
        for each in observables
    )


def measured_qubits(
    observables: Sequence[SparsePauliOp] | None, num_qubits: int
) -> tuple[int, ...]:
    """Return the qubits that some observable acts on; all where there is none.

    Raises:
        CircuitError: An observable has another number of qubits.
    """
    if observables is None:
        return tuple(range(num_qubits))
    acts = np.zeros(num_qubits, dtype=bool)
    for index, observable in enumerate(observables):
        if observable.num_qubits != num_qubits:
            raise CircuitError(
                f"Observable {index} must act on the circuit's {num_qubits} qubits, but acts on "
                f"{observable.num_qubits}; those of a transpiled circuit follow its layout: "
                "observable.apply_layout(circuit.layout)"
            )
        acts |= (observable.paulis.x | observable.paulis.z).any(axis=0)
    return tuple(np.flatnonzero(acts).tolist())


def used_qubits(circuit: QuantumCircuit, others: Iterable[int]) -> tuple[int, ...]:
    """Return the qubits that an instruction acts on or that are in `others`, ascending."""
    acting = {circuit.find_bit(bit).index for item in circuit.data for bit in item.qubits}
    return tuple(sorted(acting.union(others)))


def on_qubits(circuit: QuantumCircuit, qubits: Sequence[int]) -> QuantumCircuit:
    """Return a circuit on some of its qubits, at least those in use; qubit k is `qubits[k]`."""
    position = {physical: index for index, physical in enumerate(qubits)}
    phase = circuit.global_phase
    small = QuantumCircuit(len(qubits), name=circuit.name, global_phase=phase)
    for item in circuit.data:
        places = [position[circuit.find_bit(bit).index] for bit in item.qubits]
        small.append(item.operation, places, copy=False)
    return small


def on_used_qubits(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    narrow: Callable[[QuantumCircuit, tuple[int, ...]], QuantumCircuit] = on_qubits,
) -> tuple[QuantumCircuit, tuple[SparsePauliOp, ...]]:
    """Return a circuit and its observables on the qubits that either acts on, one at the least.

    A circuit for a QPU is as wide as that, and its state would not fit into any memory. `narrow`
    makes the circuit; it may remember what it made.
    """
    used = used_qubits(circuit, measured_qubits(observables, circuit.num_qubits)) or (0,)
    if len(used) == circuit.num_qubits:
        return circuit, tuple(observables)
    columns = list(used)
    measured = []
    for each in observables:
        z, x = each.paulis.z[:, columns], each.paulis.x[:, columns]
        measured.append(SparsePauliOp(PauliList.from_symplectic(z, x), each.coeffs))
    return narrow(circuit, used), tuple(measured)
