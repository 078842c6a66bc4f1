import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qhybrid_circuits.disk_cache import (
    LoweringCache,
    circuit_content,
    content_key,
    pack_file,
    target_content,
    unpack_file,
    use_cache,
)
from qhybrid_circuits.encoding.state_tree import with_preparation_gates
from qhybrid_circuits.errors import CircuitError, TooFewQubitsError, UnknownNameError
from qhybrid_circuits.lowering.blocks.collect import collect_blocks
from qhybrid_circuits.lowering.blocks.linear import with_fewer_cx
from qhybrid_circuits.lowering.cost.couplings import (
    BROKEN,
    Couplings,
    couplings_of,
    interactions,
    largest_part,
)
from qhybrid_circuits.lowering.cost.success import success_probability
from qhybrid_circuits.lowering.lowered import Candidate, LoweredCircuit
from qhybrid_circuits.lowering.plan import WORTH, Preference, near_best, routing_problem
from qhybrid_circuits.lowering.planner import Planner
from qhybrid_circuits.lowering.preset import better_seeds, preset_candidates
from qhybrid_circuits.lowering.targets import (
    can_synthesize,
    target_of,
    with_angle_bounds,
    with_fractional_gates,
)
from qhybrid_circuits.plain import measured_qubits, plain_request, used_qubits
from qhybrid_circuits.variational import VariationalCircuit

#: Seeds of Qiskit's passes that a structure is compared with once.
_COMPARED = 12

#: What is kept of a `LoweredCircuit` beside its circuit.
_FACTS = ("qubits", "final_layout", "fractional", "success_probability", "swaps")


def lower(
    circuit: VariationalCircuit | QuantumCircuit,
    target: Target | BackendV2,
    *,
    weights: Sequence[float] | np.ndarray | None = None,
    observables: Sequence[SparsePauliOp] | None = None,
    fractional: bool = False,
    prefer: Preference = "success",
    seeds: Iterable[int] = range(4),
    cache: LoweringCache | Path | str | bool = True,
) -> LoweredCircuit:
    """Lower a circuit to a target's gates and couplings, at the highest ESP.

    Gates on one pair of qubits are merged into blocks of at most three two-qubit gates. Swaps are
    merged into the blocks beside them; clusters of three or four qubits that interact beyond the
    couplings are moved by shorter sequences of Clifford gates; networks of cx are written anew, so
    that their results end on any qubits. Which gates move qubits, and where on the QPU, depends on
    the circuit's structure only, so that new weights take a tenth of a second.
    Where gates on two qubits have unbound parameters, Qiskit's own passes do the work, and where
    they do better with one of twelve seeds, which is tried once for each structure. The state of
    the logical qubits stays the same, up to a global phase; `LoweredCircuit.apply_layout` maps
    observables to where the qubits end.

    Amplitude encodings with symbolic features become gates with angles of their own: see
    `with_preparation_gates` and `preparation_angles`.

    Args:
        circuit: What to lower; anything that `plain_circuit` takes.
        target: The QPU, or a Qiskit backend of it.
        weights: Values of a variational circuit's weights, shape (n_weights,); symbolic if None.
        observables: What will be measured, on the logical qubits, or on those that the circuit had
            before it was transpiled: readout of the others is not in the ESP. A variational
            circuit's own, or every qubit, if None.
        fractional: Use rx of any angle and rzz between 0 and pi/2, also where the target does not
            list them; they are then taken to be as good as the pair's cz.
        prefer: "success" for the fewest two-qubit gates among circuits whose ESP is within 4 % of
            the best, "gates" for the fewest whatever the ESP.
        seeds: Seeds for Qiskit's passes, where they are used.
        cache: A folder for results, or True for $QHYBRID_CACHE_DIR or the user's cache folder, or
            False for none.

    Raises:
        CircuitError: The circuit has more qubits than the target, or more connected ones; it has an
            instruction that is no gate; an observable has another number of qubits; the target has
            no two-qubit gate; it lacks cz and `fractional` is asked for.
        UnknownNameError: `prefer` is something else.
        RequestError: `target` is neither a Target nor a backend.
        ShapeError: There are more or fewer values than weights.

    Example:
        >>> from qiskit_ibm_runtime.fake_provider import FakeManilaV2
        >>> from qhybrid_circuits import build_ansatz, lower
        >>> circuit = build_ansatz("basic_entangling", qubits=3, layers=1)
        >>> lowered = lower(circuit, FakeManilaV2().target, weights=[0.1, 0.2, 0.3])
        >>> lowered.num_logical_qubits, lowered.circuit.num_qubits
        (3, 5)
        >>> 0 < lowered.success_probability < 1
        True
    """
    if prefer not in WORTH:
        raise UnknownNameError("preference", str(prefer), WORTH)
    target = target_of(target)
    name, bound, measured = _convert(circuit, weights, observables)
    device_target = with_fractional_gates(target) if fractional else with_angle_bounds(target)
    couplings = couplings_of(device_target)
    usable = _usable(name, bound, couplings)
    store, seeds = use_cache(cache), tuple(seeds)
    device_content = target_content(device_target)

    def finished(candidates: Iterable[Candidate]) -> list[LoweredCircuit]:
        return [_lowered(name, each, device_target, measured, fractional) for each in candidates]

    def find() -> LoweredCircuit:
        short = with_fewer_cx(bound)

        def by_qiskit(seeds: Sequence[int]) -> list[LoweredCircuit]:
            where = (usable, couplings, device_target)
            return finished(preset_candidates(short, *where, seeds, measured)) if seeds else []

        blocks = collect_blocks(short) if can_synthesize(device_target) else None
        if blocks is None:
            return _best(by_qiskit(seeds), prefer)
        planner = Planner(store, couplings, device_target, device_content, measured, prefer)
        found = finished([*planner.lower(blocks), *planner.networks(short, blocks)])

        def better() -> list[int]:
            if found and planner.fits(blocks):
                return []
            least = min((each.circuit.num_nonlocal_gates() for each in found), default=sys.maxsize)
            compared = range(_COMPARED)
            return better_seeds(short, usable, couplings, device_target, compared, least)

        # New weights do not change which is better, so that Qiskit's passes run once a structure.
        structure = routing_problem(blocks, planner.fractional)
        key = content_key("better", structure, device_content, measured, prefer, _COMPARED)
        chosen: list[int] = store.recall_json(key, better, list, list)
        if not found or couplings.num_qubits <= 2 * bound.num_qubits:
            chosen = [*dict.fromkeys([*chosen, *seeds])]
        return _best(found + by_qiskit(chosen), prefer)

    key = content_key(circuit_content(bound), device_content, measured, fractional, prefer, seeds)
    return _with_parameters(store.recall(f"{key}.qpy", find, _unpack, _pack), name, bound)


def _convert(
    circuit: VariationalCircuit | QuantumCircuit,
    weights: Sequence[float] | np.ndarray | None,
    observables: Sequence[SparsePauliOp] | None,
) -> tuple[str, QuantumCircuit, tuple[int, ...]]:
    """Return the name, the circuit with its weights bound, and the logical qubits to measure."""
    if isinstance(circuit, VariationalCircuit):
        bound = circuit.circuit if weights is None else circuit.bind_weights(weights)
        bound = with_preparation_gates(bound).circuit
        observables = circuit.observables if observables is None else observables
        return circuit.name, bound, measured_qubits(observables, bound.num_qubits)
    if weights is not None:
        raise CircuitError(
            "Argument `weights` needs a VariationalCircuit, which tells weights from inputs, but "
            f"`circuit` is a {type(circuit).__name__}; bind its parameters first"
        )
    plain, observables = plain_request(circuit, observables)
    bound = with_preparation_gates(plain).circuit
    return circuit.name, bound, measured_qubits(observables, bound.num_qubits)


def _usable(name: str, circuit: QuantumCircuit, couplings: Couplings) -> Couplings:
    """Return the couplings without the broken ones, or all where the circuit needs those."""
    if circuit.num_qubits > couplings.num_qubits:
        raise TooFewQubitsError(
            f"Circuit '{name}' has {circuit.num_qubits} qubits, but the target has only "
            f"{couplings.num_qubits}; take a larger device or fewer qubits",
            circuit.num_qubits,
        )
    needed = largest_part(interactions(circuit))
    offered = largest_part(couplings.graph) if needed > 1 else 1
    if needed > offered:
        raise CircuitError(
            f"Circuit '{name}' connects {needed} qubits, but the target's two-qubit gates connect "
            f"{'none' if offered == 1 else f'at most {offered}'}; take another device"
        )
    working = couplings.working()
    if needed > 1 and not working.pairs:
        raise CircuitError(
            f"Circuit '{name}' needs two-qubit gates, but the target's calibration has every pair "
            f"out of order (an error of {BROKEN} or more, or none known); take another device or a "
            "later calibration"
        )
    enough = couplings.num_qubits - len(working.excluded) >= circuit.num_qubits
    fits = enough and needed <= max(1, largest_part(working.graph))
    return working if fits else couplings


def _lowered(
    name: str, candidate: Candidate, target: Target, measured: Sequence[int], fractional: bool
) -> LoweredCircuit:
    circuit, final, swaps = candidate
    circuit.name = name
    success = success_probability(circuit, target, [final[qubit] for qubit in measured])
    used = used_qubits(circuit, final)
    return LoweredCircuit(name, circuit, used, final, fractional, success, swaps)


def _best(found: Sequence[LoweredCircuit], prefer: Preference) -> LoweredCircuit:
    """Return the one with the fewest two-qubit gates among those whose ESP is near the best."""
    return min(near_best(found, lambda each: each.success_probability, prefer), key=_rank)


def _rank(lowered: LoweredCircuit) -> tuple[int, float, int]:
    circuit = lowered.circuit
    depth = circuit.depth(lambda item: len(item.qubits) > 1)
    return circuit.num_nonlocal_gates(), -(lowered.success_probability or 0.0), depth


def _with_parameters(lowered: LoweredCircuit, name: str, circuit: QuantumCircuit) -> LoweredCircuit:
    """Return a known result under a circuit's name and with its parameters, which may be others."""
    own = {parameter.name: parameter for parameter in circuit.parameters}
    renamed: dict[Parameter, Parameter] = {
        parameter: own[parameter.name]
        for parameter in lowered.circuit.parameters
        if parameter != own[parameter.name]
    }
    if not renamed and lowered.name == name:
        return lowered
    result = lowered.circuit.assign_parameters(renamed) if renamed else lowered.circuit.copy()
    result.name = name
    return replace(lowered, name=name, circuit=result)


def _pack(lowered: LoweredCircuit) -> bytes:
    return pack_file(lowered.circuit, {name: getattr(lowered, name) for name in _FACTS})


def _unpack(content: bytes) -> LoweredCircuit | None:
    found = unpack_file(content)
    if found is None or found[1].keys() != set(_FACTS):
        return None
    circuit, facts = found
    facts |= {name: tuple(facts[name]) for name in ("qubits", "final_layout")}
    return LoweredCircuit(circuit.name, circuit, **facts)
