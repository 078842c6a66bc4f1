from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits.errors import CircuitError, ShapeError
from qhybrid_circuits.lowering.lowered import LoweredCircuit


@dataclass(frozen=True, eq=False)
class PackedCircuit:
    """Several lowered circuits side by side on one QPU, run by one execution.

    Attributes:
        circuit: As wide as the QPU; no two members share a parameter.
        members: The circuits, in the order they were given.
        parameters: For each member its parameters in `circuit`, in the order of the member's own
            `circuit.parameters`.
    """

    circuit: QuantumCircuit
    members: tuple[LoweredCircuit, ...]
    parameters: tuple[tuple[Parameter, ...], ...]

    @property
    def success_probability(self) -> float | None:
        """The probability that no member meets an error, None where one's is not known.

        Crosstalk between members, and idling until the slowest is done, are not in it.
        """
        chances = [member.success_probability for member in self.members]
        known = [chance for chance in chances if chance is not None]
        return float(np.prod(known)) if len(known) == len(chances) else None

    def apply_layout(self, observable: SparsePauliOp, member: int) -> SparsePauliOp:
        """Return an observable of one member's logical qubits as one of the QPU's qubits."""
        return self.members[member].apply_layout(observable)

    def parameter_values(self, values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Join the members' parameter values to those of the packed circuit.

        Args:
            values: For each member shape (..., n_parameters), in the order of its
                `circuit.parameters`; the leading shapes are the same.

        Returns:
            Shape (..., n_packed), in the order of `circuit.parameters`.

        Raises:
            ShapeError: There is not one array a member, or one has another number of columns.
        """
        widths = [len(names) for names in self.parameters]
        given = [np.shape(each)[-1] if np.ndim(each) else 0 for each in values]
        if given != widths:
            raise ShapeError(
                f"Argument `values` must have one array a member with {widths} columns, but has "
                f"{given}"
            )
        own = [parameter for names in self.parameters for parameter in names]
        column = {parameter: index for index, parameter in enumerate(own)}
        order = [column[parameter] for parameter in self.circuit.parameters]
        joined = np.concatenate([np.asarray(each, dtype=float) for each in values], axis=-1)
        return np.ascontiguousarray(joined[..., order])


def pack(members: Sequence[LoweredCircuit]) -> PackedCircuit:
    """Put lowered circuits on different qubits of one QPU into one circuit.

    Args:
        members: At least one; they may be different circuits. `disjoint_regions` and
            `lower_copies` make copies of one that can be packed.

    Raises:
        CircuitError: There is no member, two share a qubit, or they are for different QPUs.

    Example:
        >>> from qiskit_ibm_runtime.fake_provider import FakeGuadalupeV2
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_circuits.lowering import disjoint_regions, lower, lower_copies, pack
        >>> circuit = build_ansatz("basic_entangling", qubits=2, layers=1)
        >>> target = FakeGuadalupeV2().target
        >>> lowered = lower(circuit, target, weights=[0.1, 0.2])
        >>> regions = disjoint_regions(target, lowered, copies=2)
        >>> len(pack(lower_copies(lowered, target, regions)).members)
        2
    """
    if not members:
        raise CircuitError("Argument `members` must hold at least one lowered circuit")
    width = members[0].circuit.num_qubits
    if any(member.circuit.num_qubits != width for member in members):
        raise CircuitError(
            "Argument `members` must be lowered for one device, but they have "
            f"{sorted({member.circuit.num_qubits for member in members})} qubits"
        )
    used = [qubit for member in members for qubit in member.qubits]
    shared = sorted({qubit for qubit in used if used.count(qubit) > 1})
    if shared:
        raise CircuitError(
            f"Argument `members` must use different qubits, but {shared} are used twice; lower "
            "them onto `disjoint_regions`"
        )
    packed = QuantumCircuit(width, name="+".join(dict.fromkeys(each.name for each in members)))
    names: list[tuple[Parameter, ...]] = []
    for index, member in enumerate(members):
        own = list(member.circuit.parameters)
        new = tuple(Parameter(f"{parameter.name}@{index}") for parameter in own)
        renamed = member.circuit.assign_parameters(dict(zip(own, new, strict=True)))
        packed.compose(renamed, inplace=True, copy=False)
        names.append(new)
    return PackedCircuit(packed, tuple(members), tuple(names))
