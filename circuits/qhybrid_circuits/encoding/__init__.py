"""Encodings: circuits that prepare a state from the features of a sample."""

from qhybrid_circuits.encoding.amplitude import AmplitudeEncoding, amplitude_encoding
from qhybrid_circuits.encoding.angle import angle_encoding
from qhybrid_circuits.encoding.basis import basis_encoding
from qhybrid_circuits.encoding.dense_angle import dense_angle_encoding
from qhybrid_circuits.encoding.phase import phase_encoding
from qhybrid_circuits.encoding.registry import ENCODINGS, EncodingInfo, check_values, encode
from qhybrid_circuits.encoding.state_tree import (
    PreparedCircuit,
    preparation_angles,
    with_preparation_gates,
)

__all__ = [
    "ENCODINGS",
    "AmplitudeEncoding",
    "EncodingInfo",
    "PreparedCircuit",
    "amplitude_encoding",
    "angle_encoding",
    "basis_encoding",
    "check_values",
    "dense_angle_encoding",
    "encode",
    "phase_encoding",
    "preparation_angles",
    "with_preparation_gates",
]
