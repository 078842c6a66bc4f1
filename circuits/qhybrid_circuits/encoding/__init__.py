"""How inputs enter a circuit."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports
from qhybrid_circuits.encoding.registry import ENCODINGS, EncodingInfo, check_values, encode

if TYPE_CHECKING:
    from qhybrid_circuits.encoding.amplitude import AmplitudeEncoding, amplitude_encoding
    from qhybrid_circuits.encoding.angle import angle_encoding
    from qhybrid_circuits.encoding.basis import basis_encoding
    from qhybrid_circuits.encoding.dense_angle import dense_angle_encoding
    from qhybrid_circuits.encoding.phase import phase_encoding
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

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AmplitudeEncoding": ".amplitude",
        "PreparedCircuit": ".state_tree",
        "amplitude_encoding": ".amplitude",
        "angle_encoding": ".angle",
        "basis_encoding": ".basis",
        "dense_angle_encoding": ".dense_angle",
        "phase_encoding": ".phase",
        "preparation_angles": ".state_tree",
        "with_preparation_gates": ".state_tree",
    },
)
