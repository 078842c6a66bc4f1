"""The numbers that gates' matrices are made of: the one table that both executors compute.

Few entries of a circuit's matrices are distinct: zero and one, other constants, and for each gate
with angles the values of its series. An executor computes each of them once a call, in its own way,
and looks matrices up by number.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from qhybrid_runtime.engine.gates import gate_series
from qhybrid_runtime.engine.patterns import embedding
from qhybrid_runtime.engine.program import Operation, Source

#: The numbers of two coefficients that every table has.
ZERO, ONE = 0, 1


class Coefficients:
    """Every distinct entry of some operations' matrices, numbered in the order of the attributes.

    Attributes:
        constants: Complex, zero and one first.
        series: Operations that have a series, weights first, with those of one source and number of
            angles together; each has as many coefficients as its series has values.
        errors: Operations of error sites; each has the four entries of its Pauli matrix.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        known = {0j: ZERO, 1 + 0j: ONE}
        # Not of the unique ones alone: equal operations may differ in the last bit.
        for operation in operations:
            if operation.matrix is not None:
                for number in operation.matrix.flat:
                    known.setdefault(complex(number), len(known))
        self._numbers = known
        self.constants = np.array(list(known))
        unique = {operation.key: operation for operation in operations}.values()
        with_series = sorted((op for op in unique if op.base is not None), key=_alike)
        self.series: list[tuple[Source, list[Operation]]] = [
            ("data" if differs else "weights", list(members))
            for (differs, _), members in groupby(with_series, _alike)
        ]
        self.errors = [op for op in unique if op.source == "errors"]
        self._first: dict[tuple[object, ...], int] = {}
        count = len(known)
        for operation in (*with_series, *self.errors):
            self._first[operation.key] = count
            count += 4 if operation.base is None else len(gate_series(operation.base).coefficients)

    def index(self, operation: Operation, targets: Sequence[int]) -> np.ndarray:
        """Return the number of each entry (D, D) of an operation's matrix on `targets`."""
        if operation.matrix is not None:
            numbers = np.array([self._numbers[complex(v)] for v in operation.matrix.flat])
        elif operation.base is None:
            numbers = self._first[operation.key] + np.arange(4)
        else:
            value = gate_series(operation.base).value.reshape(-1)
            numbers = np.where(value < 0, ZERO, self._first[operation.key] + value)
        # Entries that are zero or one in any case are numbered from the end.
        table: np.ndarray = np.append(numbers, [ONE, ZERO])[embedding(operation, targets)]
        return table


def _alike(operation: Operation) -> tuple[bool, int]:
    return operation.source == "data", len(operation.angles)
