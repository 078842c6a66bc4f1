import math
from collections.abc import Sequence
from typing import Literal

from qiskit.circuit import ParameterVector
from qiskit.transpiler import Target

from qhybrid_circuits import RequestError
from qhybrid_circuits.caching import Cache, Identity
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_circuits.lowering.packing import pack
from qhybrid_circuits.lowering.regions import disjoint_regions, lower_copies

Pack = int | Literal["auto"]

#: Copies of a circuit that are looked for at most: a device of today has no room for more.
_MOST_COPIES = 32

#: Circuits whose places on the device are remembered.
_KEPT = 64


class Packing:
    """Puts several samples of a circuit side by side on a device, so that one execution serves all.

    Attributes:
        text: Part of what a round is known by.
    """

    def __init__(self, limit: Pack, target: Target) -> None:
        """Prepare to pack circuits that are lowered for `target`.

        Args:
            limit: Copies of a circuit that an execution holds at most, which must fit; 1 does not
                pack, "auto" puts down as many as the device has room for.
            target: The device.

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
        self._target = target
        self._placed: Cache[Sequence[LoweredCircuit]] = Cache(_KEPT)

    def copies(self, lowered: LoweredCircuit, samples: int) -> int:
        """Return how many samples to put side by side.

        The fewest that need no more executions than the most that fit would: where ten samples
        take two executions with eight places, five a time on the five best places do too.

        Args:
            lowered: Their circuit.
            samples: How many there are.

        Raises:
            RequestError: As many were asked for as do not fit: the bill would be larger than
                whoever asked for them reckons.
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
            RequestError: The device has not so many places for the circuit.
        """
        if copies == 1:
            # Where it was put for a single copy; there is none better.
            return lowered
        places = self._places(lowered)
        if len(places) < copies:
            raise RequestError(
                f"the device has room for {len(places)} copies of circuit '{lowered.name}' "
                f"side by side, but the record of this round has {copies}; use a new folder"
            )
        return joined(places[:copies])

    def success_probability(self, lowered: LoweredCircuit, copies: int) -> float | None:
        """Return the estimated success of the worst of several copies, or None if not known.

        Copies err each for itself: what happens to one does not spoil the others' samples.
        """
        if copies == 1:
            return lowered.success_probability
        each = [place.success_probability for place in self._places(lowered)[:copies]]
        return min((chance for chance in each if chance is not None), default=None)

    def _places(self, lowered: LoweredCircuit) -> Sequence[LoweredCircuit]:
        return self._placed.get(
            Identity(lowered), lambda: place_copies(lowered, self._target, self._most)
        )


def joined(copies: Sequence[LoweredCircuit]) -> LoweredCircuit:
    """Return lowered circuits on disjoint qubits of one device as one circuit.

    Its parameters are new: those of the first circuit in their order, then those of the second,
    and so on.
    """
    packed = pack(copies)
    old = [parameter for names in packed.parameters for parameter in names]
    # A vector's elements sort by their numbers, names with numbers in them would not.
    fresh = ParameterVector("packed", len(old))
    return LoweredCircuit(
        copies[0].name,
        packed.circuit.assign_parameters(dict(zip(old, fresh, strict=True))),
        tuple(sorted(qubit for copy in copies for qubit in copy.qubits)),
        tuple(qubit for copy in copies for qubit in copy.final_layout),
        copies[0].fractional,
        packed.success_probability,
        _added_swaps(copies),
    )


def _added_swaps(copies: Sequence[LoweredCircuit]) -> int | None:
    swaps = [copy.swaps for copy in copies if copy.swaps is not None]
    return sum(swaps) if len(swaps) == len(copies) else None


def place_copies(lowered: LoweredCircuit, target: Target, most: int) -> Sequence[LoweredCircuit]:
    """Return copies of a lowered circuit on disjoint parts of its device, the best one first.

    Copies are kept apart by a qubit that is not used, so that they hardly disturb each other.

    Args:
        lowered: The circuit.
        target: Its device.
        most: Copies that are wanted; fewer where no more have room.
    """
    copies = lower_copies(lowered, target, disjoint_regions(target, lowered, most))
    # At the least there is room where the circuit is already.
    return copies or [lowered]
