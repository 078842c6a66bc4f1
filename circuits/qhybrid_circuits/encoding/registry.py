from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit.circuit import QuantumCircuit

from qhybrid_circuits.encoding.amplitude import amplitude_encoding, check_amplitudes
from qhybrid_circuits.encoding.angle import angle_encoding
from qhybrid_circuits.encoding.basis import basis_encoding, check_bits
from qhybrid_circuits.encoding.dense_angle import dense_angle_encoding
from qhybrid_circuits.encoding.features import Feature, check_finite
from qhybrid_circuits.encoding.phase import phase_encoding
from qhybrid_circuits.encoding_names import QUBITS
from qhybrid_circuits.errors import CircuitError, ShapeError, UnknownNameError


@dataclass(frozen=True)
class EncodingInfo:
    """A row of the table of encodings.

    Attributes:
        name: The encoding's name.
        summary: One line on the state it prepares.
        build: Makes the circuit from the features.
        check: Raises where there is no state for finite values, None where there always is.
    """

    name: str
    summary: str
    build: Callable[..., QuantumCircuit]
    check: Callable[[ArrayLike], None] | None = None

    @property
    def qubits(self) -> Callable[[int], int]:
        """Qubits that a number of features takes."""
        return QUBITS[self.name]


ENCODINGS: Mapping[str, EncodingInfo] = {
    info.name: info
    for info in (
        EncodingInfo(
            "basis", "the basis state of the bits, one a qubit", basis_encoding, check=check_bits
        ),
        EncodingInfo(
            "amplitude",
            "the features as amplitudes, normalized",
            amplitude_encoding,
            check_amplitudes,
        ),
        EncodingInfo("angle", "RX or RY by the feature, one a qubit", angle_encoding),
        EncodingInfo("phase", "H, then P by the feature, one a qubit", phase_encoding),
        EncodingInfo("dense_angle", "RY, then RZ, two features a qubit", dense_angle_encoding),
    )
}


def encode(
    name: str, features: Sequence[Feature], *, num_qubits: int | None = None, **options: Any
) -> QuantumCircuit:
    """Build an encoding by its name, to be composed with an ansatz of the same qubits.

    Args:
        name: A key of `ENCODINGS`.
        features: Parameters, expressions or numbers, in the order that the encoding's builder says.
        num_qubits: The qubits there are; None means as many as the features take.
        options: Keyword arguments of the builder, e.g. `axis="y"` of the angle encoding.

    Raises:
        UnknownNameError: There is no encoding of this name.
        ShapeError: The features do not take `num_qubits` qubits.
        CircuitError: The builder refuses the features or the options.
        NotFiniteError: A feature is a number that is NaN or infinite.
        RequestError: A feature is a number that the encoding has no state for.

    Example:
        >>> from qiskit.circuit import ParameterVector
        >>> from qhybrid_circuits.encoding import encode
        >>> encode("angle", ParameterVector("x", 3), axis="y").num_qubits
        3
    """
    info = _info(name)
    taken = info.qubits(len(features))
    if num_qubits is not None and len(features) and taken != num_qubits:
        raise ShapeError(
            f"{len(features)} features take {taken} qubits in {name} encoding, but there are "
            f"{num_qubits}; {info.summary}"
        )
    try:
        return info.build(features, **options)
    except TypeError as error:
        if not options:
            raise
        raise CircuitError(
            f"{name} encoding does not take {', '.join(options)} this way: {error}"
        ) from error


def check_values(name: str, values: ArrayLike, num_features: int) -> None:
    """Check numbers before they are bound to an encoding's features.

    A circuit that is built from parameters cannot know what will be bound to them.

    Args:
        name: A key of `ENCODINGS`.
        values: Shape (..., num_features).
        num_features: Features that the circuit was built with.

    Raises:
        UnknownNameError: There is no encoding of this name.
        ShapeError: The last axis is not `num_features` long.
        NotFiniteError: A value is NaN or infinite.
        RequestError: A value is not a bit (basis), or all of a sample's are zero (amplitude).

    Example:
        >>> from qhybrid_circuits.encoding import check_values
        >>> check_values("basis", [[0, 1, 1]], num_features=3)
        >>> check_values("basis", [[0, 1, 2]], num_features=3)
        Traceback (most recent call last):
        ...
        qhybrid_circuits.errors.RequestError: ...
    """
    info = _info(name)
    array = np.asarray(values, dtype=np.float64)
    if not array.ndim or array.shape[-1] != num_features:
        raise ShapeError(
            f"Argument `values` must have shape (..., {num_features}), one number a feature, but "
            f"has shape {array.shape}"
        )
    check_finite(array)
    if info.check is not None:
        info.check(array)


def _info(name: str) -> EncodingInfo:
    if name not in ENCODINGS:
        raise UnknownNameError("encoding", name, ENCODINGS)
    return ENCODINGS[name]
