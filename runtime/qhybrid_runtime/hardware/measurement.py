"""Count measurement bases; reports do so too, which must not load torch."""

from collections.abc import Sequence
from functools import lru_cache

from qiskit.quantum_info import PauliList, SparsePauliOp


def measurement_bases(observables: Sequence[SparsePauliOp]) -> int:
    """Return the number of bases that a circuit is measured in to estimate observables.

    Strings that agree on every qubit that both act on are measured together, grouped as IBM's
    estimator groups them. Observables that are all diagonal take one basis.
    """
    if not any(observable.paulis.x.any() for observable in observables):
        return 1
    return _groups(tuple(sorted({s for o in observables for s in o.paulis.to_labels()})))


@lru_cache(maxsize=64)
def _groups(labels: tuple[str, ...]) -> int:
    return len(PauliList(list(labels)).group_commuting(qubit_wise=True))
