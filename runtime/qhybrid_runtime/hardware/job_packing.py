"""Put samples of a circuit side by side in the circuits of a job."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from qiskit.circuit import ParameterVector
from qiskit.transpiler import Target

from qhybrid_circuits import RequestError
from qhybrid_circuits.caching import Cache, Identity
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_circuits.lowering.placement.copies import pack
from qhybrid_circuits.lowering.placement.regions import disjoint_regions, lower_copies
from qhybrid_runtime.hardware.billing import least_known

Pack = int | Literal["auto"]

#: Copies of a circuit that are looked for at most: a QPU of today has no room for more.
_MOST_COPIES = 32

#: Circuits whose places on the QPU are kept.
_KEPT = 64


class Packing:
    """Places several samples of a circuit side by side, so that one execution serves all.

    Attributes:
        text: The limit as part of a round's key.
        target: What circuits are lowered for.
    """

    def __init__(self, limit: Pack, target: Target) -> None:
        """Prepare to pack circuits that are lowered for `target`.

        `limit` is the copies of a circuit that an execution holds at most, which must fit; 1 does
        not pack, "auto" places as many as the QPU has room for.

        Raises:
            RequestError: `limit` is neither "auto" nor a whole number of at least 1.
        """
        whole = isinstance(limit, int) and not isinstance(limit, bool)
        if limit != "auto" and (not whole or int(limit) < 1):
            raise RequestError(
                f"Argument `pack` must be 'auto' or a whole number of at least 1, but is {limit!r}"
            )
        self.text = f"pack {limit}"
        self._limit, self._most = limit, _MOST_COPIES if limit == "auto" else int(limit)
        self.target = target
        self._placed: Cache[Sequence[LoweredCircuit]] = Cache(_KEPT)

    def copies(self, lowered: LoweredCircuit, samples: int) -> int:
        """Return how many of a circuit's samples to put side by side.

        These are the fewest that need no more executions than the most that fit: where ten samples
        take two executions on eight places, they also do on the five best places.

        Raises:
            RequestError: The number that was asked for does not fit, so that the bill would be
                larger than expected.
        """
        most = min(self._most, samples)
        if most <= 1:
            return 1
        fit = min(len(self._places(lowered)), most)
        if fit < most and self._limit != "auto":
            raise RequestError(
                f"pack {self._limit} does not fit: on the device there is room for {fit} x a "
                f"circuit of {len(lowered.final_layout)} qubits; use pack {fit}, or auto for as "
                "many of each circuit as fit"
            )
        return math.ceil(samples / math.ceil(samples / fit))

    def side_by_side(self, lowered: LoweredCircuit, copies: int) -> LoweredCircuit:
        """Return several copies of a circuit as one, on the best places.

        Its logical qubits and its parameters are those of the first copy, then those of the
        second, and so on.

        Raises:
            RequestError: The QPU does not have as many places for the circuit.
        """
        if copies == 1:
            # A single circuit is already on its best place.
            return lowered
        places = self._places(lowered)
        if len(places) < copies:
            raise RequestError(
                f"the device has room for {len(places)} copies of circuit '{lowered.name}' "
                f"side by side, but the record of this round has {copies}; use a new folder"
            )
        return joined(places[:copies])

    def success_probability(self, lowered: LoweredCircuit, copies: int) -> float | None:
        """Return the least estimated success probability (ESP) of several copies, if known.

        An error of one copy does not change the samples of the others.
        """
        if copies == 1:
            return lowered.success_probability
        return least_known(p.success_probability for p in self._places(lowered)[:copies])

    def _places(self, lowered: LoweredCircuit) -> Sequence[LoweredCircuit]:
        """Return copies of a lowered circuit on disjoint parts of its QPU, the best one first.

        Copies are kept apart by a qubit that is not used, so that they hardly disturb each other.
        """

        def placed() -> Sequence[LoweredCircuit]:
            regions = disjoint_regions(self.target, lowered, self._most)
            # There always is room where the circuit is already.
            return lower_copies(lowered, self.target, regions) or [lowered]

        return self._placed.get(Identity(lowered), placed)


def joined(copies: Sequence[LoweredCircuit]) -> LoweredCircuit:
    """Return lowered circuits on disjoint qubits of one QPU as one circuit.

    Its parameters are new: those of the first circuit in their order, then those of the second,
    and so on.
    """
    packed = pack(copies)
    old = [parameter for names in packed.parameters for parameter in names]
    # A vector's elements sort by their numbers, names with numbers in them would not.
    fresh = ParameterVector("packed", len(old))
    swaps = [copy.swaps for copy in copies]
    return replace(
        copies[0],
        circuit=packed.circuit.assign_parameters(dict(zip(old, fresh, strict=True))),
        qubits=tuple(sorted(qubit for copy in copies for qubit in copy.qubits)),
        final_layout=tuple(qubit for copy in copies for qubit in copy.final_layout),
        success_probability=packed.success_probability,
        swaps=None if None in swaps else sum(swaps),  # type: ignore[arg-type]
    )
