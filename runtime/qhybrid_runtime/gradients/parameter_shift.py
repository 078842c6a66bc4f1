from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.caching import Cache, Identity
from qhybrid_runtime.gradients.amplitude_shift import chain
from qhybrid_runtime.gradients.angle_circuit import AngleCircuit
from qhybrid_runtime.gradients.method import Point, needed_parameters
from qhybrid_runtime.gradients.probes import Probes, ProbingMethod, side_by_side


@dataclass(frozen=True)
class ParameterShift(ProbingMethod):
    """The derivative of the backend's own expectation values, noise included.

    Each gate angle is shifted on its own (Mitarai et al., Phys. Rev. A 98, 032309 (2018); four
    terms for controlled rotations, Anselmetti et al., New J. Phys. 23, 113010 (2021)); the chain
    rule leads from angles to inputs and weights, whatever the expression. All shifts of all samples
    are one PUB of a circuit whose every angle is a parameter.

    It is unbiased; its only error is shot noise. On noisy backends this holds as long as device
    noise does not depend on the angles, and as the lowered gates turn with the frequencies of the
    ideal ones, as rotations, controlled rotations and controlled phases in rz, sx and cx do.

    It is expensive: two parameter sets per sample for each rotation, four for each controlled one;
    see `parameter_sets`. A feature of an amplitude encoding is moved itself, once up and once down.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import ParameterShift, get_backend, quantum_layer
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> layer = quantum_layer(circuit, get_backend("statevector"), ParameterShift())
        >>> layer(torch.zeros(5, 4)).sum().backward()
        >>> layer.weight.grad.shape
        torch.Size([8])
    """

    name: ClassVar[str] = "parameter-shift"

    def probes(self, point: Point) -> Probes:
        plan = _plan(point.circuit.variational, point.by_inputs, point.by_weights)
        circuit, parameters = plan.circuit, side_by_side(point)
        angles = circuit.at(parameters)
        parts = [angles + plan.shifts[:, None]]
        if any(plan.moved):
            parts.append(angles[None])
        for encoding, features in zip(circuit.encodings, plan.moved, strict=True):
            around = np.repeat(angles[None], 2 * len(features), axis=0)
            around[:, :, encoding.columns] = encoding.moved_angles(parameters, features)
            parts.append(around)

        def combine(numbers: np.ndarray) -> np.ndarray:
            count = len(plan.shifts)
            total = chain(circuit.table, parameters, numbers[:count].T @ plan.coefficients)
            first = count + 1
            for encoding, features in zip(circuit.encodings, plan.moved, strict=True):
                around = numbers[first : first + 2 * len(features)]
                if features:
                    total += encoding.derivatives(parameters, features, numbers[count], around)
                first += len(around)
            return total

        return Probes(circuit.circuit, np.concatenate(parts), pubs=1, combine=combine)

    def parameter_sets(
        self, variational: VariationalCircuit, *, by_inputs: bool = True, by_weights: bool = True
    ) -> int:
        plan = _plan(variational, by_inputs, by_weights)
        return len(plan.shifts) + 2 * sum(map(len, plan.moved)) + any(plan.moved)


class _Plan(NamedTuple):
    """The probes of a circuit.

    Attributes:
        circuit: The circuit with a parameter for each angle.
        moved: The features of each amplitude encoding in which derivatives are needed.
        shifts: The numbers that are added to the angles, shape (n_probes, n_angles), with one entry
            a row that is not zero.
        coefficients: Each probe's share in the angles' derivatives, same shape.
    """

    circuit: AngleCircuit
    moved: list[list[int]]
    shifts: np.ndarray
    coefficients: np.ndarray


#: The angle circuits are the same objects each time, so that they are lowered once.
_ANGLE_CIRCUITS: Cache[AngleCircuit] = Cache(1024)


def _plan(variational: VariationalCircuit, by_inputs: bool, by_weights: bool) -> _Plan:
    circuit = _ANGLE_CIRCUITS.get(Identity(variational), lambda: AngleCircuit(variational))
    needed = set(needed_parameters(variational, by_inputs, by_weights))
    entries = [
        (angle, sign * shift, sign * coefficient)
        for angle in np.flatnonzero(circuit.depends(needed)).tolist()
        for shift, coefficient in zip(*circuit.rules[angle], strict=True)
        for sign in (1, -1)
    ]
    shifts, coefficients = np.zeros((2, len(entries), len(circuit.rules)))
    for row, (angle, shift, coefficient) in enumerate(entries):
        shifts[row, angle], coefficients[row, angle] = shift, coefficient
    moved = [encoding.depending(needed) for encoding in circuit.encodings]
    return _Plan(circuit, moved, shifts, coefficients)
