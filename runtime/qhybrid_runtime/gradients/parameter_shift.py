from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.caching import Cache, Identity
from qhybrid_runtime.gradients.angle_circuit import AngleCircuit
from qhybrid_runtime.gradients.chain import chain
from qhybrid_runtime.gradients.method import Point, needed_parameters
from qhybrid_runtime.gradients.probes import Probes, ProbingMethod, side_by_side


@dataclass(frozen=True)
class ParameterShift(ProbingMethod):
    """The derivative of the backend's own expectation values, noise included.

    Each gate angle is shifted on its own (Mitarai et al., Phys. Rev. A 98, 032309 (2018); four
    terms for controlled rotations, Anselmetti et al., New J. Phys. 23, 113010 (2021)); the chain
    rule leads from angles to inputs and weights, whatever the expression. All shifts of all samples
    are one PUB of a circuit whose every angle is a parameter.

    Unbiased: what is left is shot noise. On noisy backends this holds as long as noise does not
    depend on the angles, and as the lowered gates turn with the frequencies of the ideal ones, as
    rotations, controlled rotations and controlled phases in rz, sx and cx do.

    It is dear: two parameter sets a sample for each rotation, four for each controlled one; see
    `parameter_sets`. A feature of an amplitude encoding is moved itself, once up and once down.
    """

    name: ClassVar[str] = "parameter-shift"

    def probes(self, point: Point) -> Probes:
        variational = point.circuit.variational
        circuit = _angle_circuit(variational)
        parameters = side_by_side(point)
        shifts, coefficients = _shifts(
            circuit,
            variational,
            by_inputs=point.by_inputs,
            by_weights=point.by_weights,
        )
        angles = circuit.at(parameters)
        moved = _moved_features(
            circuit,
            variational,
            by_inputs=point.by_inputs,
            by_weights=point.by_weights,
        )
        parts = [angles + shifts[:, None]]
        if any(moved):
            parts.append(angles[None])
        for encoding, features in zip(circuit.encodings, moved, strict=True):
            around = np.repeat(angles[None], 2 * len(features), axis=0)
            around[:, :, encoding.columns] = encoding.moved_angles(parameters, features)
            parts.append(around)

        def combine(numbers: np.ndarray) -> np.ndarray:
            count = len(shifts)
            total = chain(circuit.table, parameters, numbers[:count].T @ coefficients)
            first = count + 1
            for encoding, features in zip(circuit.encodings, moved, strict=True):
                last = first + 2 * len(features)
                if features:
                    total += encoding.derivatives(
                        parameters, features, numbers[count], numbers[first:last]
                    )
                first = last
            return total

        return Probes(circuit.circuit, np.concatenate(parts), pubs=1, combine=combine)

    def parameter_sets(
        self, variational: VariationalCircuit, *, by_inputs: bool = True, by_weights: bool = True
    ) -> int:
        circuit = _angle_circuit(variational)
        moved = _moved_features(circuit, variational, by_inputs=by_inputs, by_weights=by_weights)
        shifts, _ = _shifts(circuit, variational, by_inputs=by_inputs, by_weights=by_weights)
        return len(shifts) + 2 * sum(map(len, moved)) + any(moved)


#: The angle circuits are the same objects each time, so that they are lowered once.
_ANGLE_CIRCUITS: Cache[AngleCircuit] = Cache(1024)


def _angle_circuit(variational: VariationalCircuit) -> AngleCircuit:
    return _ANGLE_CIRCUITS.get(Identity(variational), lambda: AngleCircuit(variational))


def _moved_features(
    circuit: AngleCircuit, variational: VariationalCircuit, *, by_inputs: bool, by_weights: bool
) -> list[list[int]]:
    """Return the features of each amplitude encoding in which derivatives are needed."""
    needed = needed_parameters(variational, by_inputs, by_weights)
    return [encoding.depending(needed) for encoding in circuit.encodings]


def _shifts(
    circuit: AngleCircuit, variational: VariationalCircuit, *, by_inputs: bool, by_weights: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return what is added to the angles, and each probe's share in the angles' derivatives.

    Both have the shape (n_probes, n_angles), with one entry a row that is not zero.
    """
    needed = needed_parameters(variational, by_inputs, by_weights)
    entries = [
        (angle, sign * shift, sign * coefficient)
        for angle, wanted in enumerate(circuit.depends(needed))
        if wanted
        for shift, coefficient in zip(
            circuit.rules[angle].shifts, circuit.rules[angle].coefficients, strict=True
        )
        for sign in (1, -1)
    ]
    shifts = np.zeros((len(entries), len(circuit.rules)))
    coefficients = np.zeros_like(shifts)
    for row, (angle, shift, coefficient) in enumerate(entries):
        shifts[row, angle], coefficients[row, angle] = shift, coefficient
    return shifts, coefficients
