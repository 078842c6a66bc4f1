from collections.abc import Container, Iterable, Sequence

from qiskit.circuit import Parameter
from qiskit.circuit.library import RXGate, RZZGate
from qiskit.providers import BackendV2
from qiskit.transpiler import InstructionProperties, Target

from qhybrid_circuits.errors import CircuitError, RequestError
from qhybrid_circuits.lowering.rzz_folding import RZZ_BOUNDS

#: The fixed two-qubit gates that a Qiskit decomposer can build any two-qubit unitary from.
ENTANGLERS = ("cz", "ecr", "cx")

_ALIGNMENTS = ("granularity", "min_length", "pulse_alignment", "acquire_alignment")
_SAME_IN_PARTS = ("description", "dt", *_ALIGNMENTS)


def target_of(device: Target | BackendV2) -> Target:
    """Return the target of a backend, or the target that it is already.

    Raises:
        RequestError: It is neither.
    """
    target = device.target if isinstance(device, BackendV2) else device
    if not isinstance(target, Target):
        raise RequestError(
            "Argument `target` must be a Qiskit Target, or a backend, which has one, but is "
            f"{device!r}"
        )
    return target


def entangler_name(target: Target) -> str | None:
    """Return the name of the target's fixed two-qubit gate, None where it has none that we know."""
    return next((name for name in ENTANGLERS if name in target.operation_names), None)


def two_qubit_gate(target: Target) -> str | None:
    """Return the gate whose pairs are the target's couplings, None where no pair can meet."""
    names = [*target.operation_names]
    known = [name for name in (*ENTANGLERS, "rzz") if name in names]
    others = [
        name for name in names if getattr(target.operation_from_name(name), "num_qubits", 0) == 2
    ]
    return next(iter(known + others), None)


def can_synthesize(target: Target) -> bool:
    """Return whether we can write any two-qubit unitary in the target's gates."""
    return entangler_name(target) is not None or "rzz" in target.operation_names


def restricted_target(target: Target | BackendV2, qubits: Sequence[int]) -> Target:
    """Return the part of a QPU that consists of some of its qubits, numbered from 0.

    Gates, couplings, errors, durations, T1, T2 and readout are kept.

    Args:
        target: The QPU, or a backend of it.
        qubits: Physical qubits; `qubits[k]` becomes qubit k.

    Raises:
        RequestError: `target` is neither a Target nor a backend.
        CircuitError: A qubit is named twice, or the QPU does not have it.

    Example:
        >>> from qiskit_ibm_runtime.fake_provider import FakeManilaV2
        >>> from qhybrid_circuits import restricted_target
        >>> restricted_target(FakeManilaV2().target, [1, 2, 3]).num_qubits
        3
    """
    target = target_of(target)
    available = int(target.num_qubits or 0)
    wrong = [qubit for qubit in qubits if not 0 <= qubit < available]
    if wrong or len(set(qubits)) != len(qubits) or not qubits:
        raise CircuitError(
            f"Argument `qubits` must name different qubits between 0 and {available - 1}, at least "
            f"one, but is {tuple(qubits)}"
        )
    return part_of_target(target, qubits)


def part_of_target(
    target: Target,
    qubits: Sequence[int],
    *,
    pairs: Container[tuple[int, int]] | None = None,
    bound_rzz: bool = False,
) -> Target:
    """Return some qubits of a QPU, with only the couplings of ascending `pairs` if given."""
    position = {physical: index for index, physical in enumerate(qubits)}
    properties = target.qubit_properties
    own = None if properties is None else [properties[q] for q in qubits]
    same = {name: getattr(target, name) for name in _SAME_IN_PARTS}
    small = Target(num_qubits=len(qubits), qubit_properties=own, **same)
    for name in target.operation_names:
        operation, placed = target.operation_from_name(name), target[name]
        if placed is None or None in placed:
            small.add_instruction(operation, name=name)
            continue
        kept = {
            tuple(position[q] for q in place): value
            for place, value in placed.items()
            if all(q in position for q in place)
            and (pairs is None or len(place) != 2 or (min(place), max(place)) in pairs)
        }
        if kept:
            # Qiskit's target has no access to the bounds themselves; those of rzz are known.
            bound = name == "rzz" and (bound_rzz or target.gate_has_angle_bounds(name))
            bounds = [RZZ_BOUNDS] if bound else None
            small.add_instruction(operation, kept, name, angle_bounds=bounds)
    return small


def with_fractional_gates(target: Target | BackendV2) -> Target:
    """Return the target with rx and with rzz between 0 and pi/2, added where it lacks them.

    An rzz is given the error and the duration of the pair's CZ, an rx those of the qubit's sx (it
    is one pulse, as sx is). Published calibrations have no others.

    Args:
        target: A QPU whose two-qubit gate is cz, or that has rzz already, or a backend of it.

    Raises:
        RequestError: `target` is neither a Target nor a backend.
        CircuitError: The QPU has neither cz nor rzz.

    Example:
        >>> from qiskit_ibm_runtime.fake_provider import FakeFez
        >>> from qhybrid_circuits.lowering import with_fractional_gates
        >>> "rzz" in with_fractional_gates(FakeFez().target).operation_names
        True
    """
    target = target_of(target)
    if "rzz" in target.operation_names and "rx" in target.operation_names:
        return with_angle_bounds(target)
    if "cz" not in target.operation_names and "rzz" not in target.operation_names:
        two_qubit = [name for name in ENTANGLERS if name in target.operation_names]
        raise CircuitError(
            "Fractional gates need a device whose two-qubit gate is cz, but this one has "
            f"{', '.join(two_qubit) or 'no two-qubit gate'}; lower without `fractional`"
        )
    wider = with_angle_bounds(restricted_target(target, range(int(target.num_qubits or 0))))
    if "rzz" not in target.operation_names:
        wider.add_instruction(
            RZZGate(Parameter("theta")), _copied(target["cz"].items()), angle_bounds=[RZZ_BOUNDS]
        )
    if "rx" not in target.operation_names:
        one_qubit = next(
            (target[name] for name in ("sx", "x") if name in target.operation_names),
            {(qubit,): None for qubit in range(int(target.num_qubits or 0))},
        )
        wider.add_instruction(RXGate(Parameter("theta")), _copied(one_qubit.items()))
    return wider


def with_angle_bounds(target: Target) -> Target:
    """Return the target with rzz limited to 0 to pi/2, as it is on QPUs whose target lacks it."""
    if "rzz" not in target.operation_names:
        return target
    if target.gate_has_angle_bounds("rzz"):
        return target
    return part_of_target(target, range(int(target.num_qubits or 0)), bound_rzz=True)


def _copied(
    properties: Iterable[tuple[tuple[int, ...], InstructionProperties | None]],
) -> dict[tuple[int, ...], InstructionProperties | None]:
    return {
        place: value and InstructionProperties(duration=value.duration, error=value.error)
        for place, value in properties
    }
