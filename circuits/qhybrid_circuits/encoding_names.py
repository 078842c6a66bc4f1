"""Names of the encodings and the qubits that they take; imports nothing heavy."""

from collections.abc import Callable, Mapping

from qhybrid_circuits.errors import UnknownNameError


def _as_many(num_features: int) -> int:
    return num_features


#: Name of an encoding -> qubits that a number of features takes.
QUBITS: Mapping[str, Callable[[int], int]] = {
    "basis": _as_many,
    "amplitude": lambda num_features: max(1, (num_features - 1).bit_length()),
    "angle": _as_many,
    "phase": _as_many,
    "dense_angle": lambda num_features: (num_features + 1) // 2,
}


def check_encoding(name: str) -> str:
    """Return the name of an encoding; `-` may stand for `_` in it.

    Raises:
        UnknownNameError: There is no encoding of this name.
    """
    known = name.replace("-", "_")
    if known not in QUBITS:
        raise UnknownNameError("encoding", name, QUBITS)
    return known
