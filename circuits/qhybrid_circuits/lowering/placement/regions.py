"""Several disjoint parts of a QPU that one circuit runs on side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from qhybrid_circuits.errors import CircuitError
from qhybrid_circuits.lowering.cost.couplings import Couplings, couplings_of
from qhybrid_circuits.lowering.cost.success import success_probability
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_circuits.lowering.placement.placements import (
    Pattern,
    Placement,
    find_placements,
    move,
    pattern_of,
    placement_score,
)
from qhybrid_circuits.lowering.targets import target_of, with_fractional_gates

#: Placements that are compared for each copy in turn.
_WIDTH = 300

#: Placements that are considered together where that fits too few copies.
_POOL = 1500

#: Of those, how many may have the same qubit as the pattern's first vertex.
_PER_ANCHOR = 12


def disjoint_regions(
    target: Target | BackendV2,
    lowered: LoweredCircuit,
    copies: int | None = None,
    *,
    buffer: int = 1,
) -> tuple[tuple[int, ...], ...]:
    """Find parts of a QPU with the couplings that a lowered circuit uses.

    Args:
        target: The QPU, or a backend of it, that the circuit was lowered for.
        lowered: The circuit.
        copies: Parts wanted, the best of the QPU; as many as fit if None.
        buffer: Unused qubits between any two parts, along any path of couplings.

    Returns:
        For each part its physical qubits, element k in the role of `lowered.qubits[k]`; best
        estimated success first. Fewer than `copies` if no more fit.

    Raises:
        RequestError: `target` is neither a Target nor a backend.
        CircuitError: `copies` is below one or `buffer` negative.

    Example:
        >>> from qiskit_ibm_runtime.fake_provider import FakeGuadalupeV2
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_circuits.lowering import disjoint_regions, lower
        >>> circuit = build_ansatz("basic_entangling", qubits=2, layers=1)
        >>> target = FakeGuadalupeV2().target
        >>> lowered = lower(circuit, target, weights=[0.1, 0.2])
        >>> regions = disjoint_regions(target, lowered, copies=2)
        >>> [len(region) for region in regions]
        [2, 2]
    """
    if (copies is not None and copies < 1) or buffer < 0:
        raise CircuitError(
            f"Arguments `copies` and `buffer` must be at least 1 and 0, but are {copies} and "
            f"{buffer}"
        )
    target = target_of(target)
    couplings = couplings_of(target).working()
    pattern = pattern_of(lowered.circuit, lowered.qubits, lowered.final_layout)
    around = _balls(couplings_of(target), buffer)
    chosen = _one_after_another(pattern, couplings, around, copies)
    if copies is None or len(chosen) < copies:
        pool = find_placements(pattern, couplings, width=_POOL, per_anchor=_PER_ANCHOR)
        tighter = _most_apart(pool, around)[:copies]
        if len(tighter) > len(chosen):
            chosen = tighter
    return tuple(sorted(chosen, key=lambda place: -placement_score(pattern, couplings, place)))


def lower_copies(
    lowered: LoweredCircuit,
    target: Target | BackendV2,
    regions: Iterable[Sequence[int]],
    measured: Sequence[int] | None = None,
) -> list[LoweredCircuit]:
    """Move a lowered circuit to other parts of its QPU.

    Args:
        lowered: The circuit.
        target: The QPU, or a backend of it, that the circuit was lowered for.
        regions: As `disjoint_regions` returns them.
        measured: Logical qubits whose readout counts in the estimated success; all if None.

    Raises:
        RequestError: `target` is neither a Target nor a backend.

    Example:
        >>> from qiskit_ibm_runtime.fake_provider import FakeGuadalupeV2
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_circuits.lowering import disjoint_regions, lower, lower_copies
        >>> circuit = build_ansatz("basic_entangling", qubits=2, layers=1)
        >>> target = FakeGuadalupeV2().target
        >>> lowered = lower(circuit, target, weights=[0.1, 0.2])
        >>> regions = disjoint_regions(target, lowered, copies=2)
        >>> len(lower_copies(lowered, target, regions))
        2
    """
    own_target = target_of(target)
    if lowered.fractional:
        own_target = with_fractional_gates(own_target)
    logical = range(lowered.num_logical_qubits) if measured is None else measured
    copies = []
    for region in regions:
        at = dict(zip(lowered.qubits, region, strict=True))
        circuit = move(lowered.circuit, lowered.qubits, region, own_target)
        final = tuple(at[qubit] for qubit in lowered.final_layout)
        success = success_probability(circuit, own_target, [final[qubit] for qubit in logical])
        places: dict[str, Any] = {"qubits": tuple(sorted(region)), "final_layout": final}
        copies.append(replace(lowered, circuit=circuit, success_probability=success, **places))
    return copies


def _balls(couplings: Couplings, radius: int) -> list[int]:
    """Return for each qubit the bit mask of all qubits at most `radius` couplings away."""
    # Qubits that no path joins count as `num_qubits` away.
    near = np.array(couplings.distance()) <= min(radius, couplings.num_qubits - 1)
    return [sum(1 << int(qubit) for qubit in np.flatnonzero(row)) for row in near]


def _one_after_another(
    pattern: Pattern, couplings: Couplings, around: Sequence[int], copies: int | None
) -> list[Placement]:
    """Return the best placement, then the best that is far enough from it, and so on."""
    chosen: list[Placement] = []
    taken = 0
    while copies is None or len(chosen) < copies:
        found = find_placements(pattern, couplings, width=_WIDTH, forbidden=taken)
        if not found:
            break
        chosen.append(found[0])
        for qubit in found[0]:
            taken |= around[qubit]
    return chosen


def _most_apart(pool: Sequence[Placement], around: Sequence[int]) -> list[Placement]:
    """Return placements far enough apart, each ruling out the fewest of those still possible."""
    own = [sum(1 << qubit for qubit in place) for place in pool]
    blocked = [reduce(or_, (around[qubit] for qubit in place), 0) for place in pool]
    left = set(range(len(pool)))
    rules_out = {index: {other for other in left if own[other] & blocked[index]} for index in left}
    chosen = []
    while left:
        best = min(left, key=lambda index: (len(rules_out[index] & left), index))
        chosen.append(pool[best])
        left -= rules_out[best]
    return chosen
