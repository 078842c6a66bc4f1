from dataclasses import dataclass, replace
from functools import partial

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from qhybrid_circuits.disk_cache import LoweringCache, content_key
from qhybrid_circuits.lowering.blocks.collect import BlockCircuit
from qhybrid_circuits.lowering.blocks.condense import ENOUGH_CZ, ENOUGH_RZZ, condensable, condense
from qhybrid_circuits.lowering.cost.couplings import Couplings
from qhybrid_circuits.lowering.cost.success import success_probability
from qhybrid_circuits.lowering.frames.pauli_frames import FramePlan, FrameProblem, find_frames
from qhybrid_circuits.lowering.frames.reframe import reframe
from qhybrid_circuits.lowering.lowered import Candidate
from qhybrid_circuits.lowering.placement.placements import find_placements, pattern_of
from qhybrid_circuits.lowering.plan import (
    LoweringPlan,
    Preference,
    make_plan,
    near_best,
    routing_problem,
)
from qhybrid_circuits.lowering.routing.beam import BeamOptions
from qhybrid_circuits.lowering.routing.networks import (
    NetworkPlan,
    Networks,
    route_networks,
    split_networks,
)
from qhybrid_circuits.lowering.routing.parts import CircuitPart, split_problem
from qhybrid_circuits.lowering.routing.problem import Routing, RoutingProblem
from qhybrid_circuits.lowering.routing.routings import find_routings, fits_directly

#: Searches that are run for a new structure. Found by trying on HQConv and FQConv.
PORTFOLIO = (
    BeamOptions(width=40, distance_weight=2.0),
    BeamOptions(width=40, depth_weight=1.0, distance_weight=1.0, look_ahead=10, decay=0.85),
    BeamOptions(width=100, distance_weight=1.0, look_ahead=10, decay=0.85),
)

#: Places of each plan of networks whose ESP is computed from the circuit itself.
_PLACES = 8


@dataclass(frozen=True)
class Planner:
    """Plans for one QPU, made once for each structure and then recalled."""

    store: LoweringCache
    couplings: Couplings
    target: Target
    device_content: object
    measured: tuple[int, ...]
    prefer: Preference = "success"
    portfolio: tuple[BeamOptions, ...] = PORTFOLIO

    def lower(self, blocks: BlockCircuit) -> list[Candidate]:
        """Return lowered circuits; none if the circuit does not fit."""
        blocks = self._condensed(blocks) or blocks
        reframed = self._reframed(blocks)
        # Frames nearly always win where they apply: one search is enough to compare.
        router = self if reframed is None else replace(self, portfolio=PORTFOLIO[:1])
        return [each for each in (reframed, router._candidate(blocks)) if each is not None]

    def networks(self, circuit: QuantumCircuit, blocks: BlockCircuit) -> list[Candidate]:
        """Return a circuit with its networks of CX routed whole; none if they fit, or it has none.

        `blocks` are those of the circuit.
        """
        networks = split_networks(circuit)
        if networks is None or self.fits(blocks):
            return []
        choice = (self.measured, self.prefer, self.portfolio)
        key = content_key(
            "placed", networks.num_qubits, networks.pairs, self.device_content, *choice
        )
        make = partial(self._placed_networks, networks, blocks)
        plan = self.store.recall_json(key, make, NetworkPlan.from_json, NetworkPlan.to_json)
        return [] if plan is None else [plan.lower(networks, self.target)]

    def _placed_networks(self, networks: Networks, blocks: BlockCircuit) -> NetworkPlan | None:
        """Return the best of a few plans at their best places, None without one."""
        routings = self._routings(routing_problem(blocks, self.fractional), self.couplings)
        content = (networks.num_qubits, networks.pairs, self.couplings.pairs, self.portfolio)
        plans = self.store.recall_json(
            content_key("networks", *content),
            lambda: route_networks(networks, routings, self.couplings),
            lambda content: [NetworkPlan.from_json(each) for each in content],
            lambda plans: [each.to_json() for each in plans],
        )
        rated: list[tuple[int, float, NetworkPlan]] = []
        for plan in plans:
            circuit, final, _ = plan.lower(networks, self.target)
            pattern = pattern_of(circuit, plan.vertices, [final[q] for q in self.measured])
            where = self.couplings.working(), self.couplings
            places = next(filter(None, (find_placements(pattern, each) for each in where)), [])
            for moved in map(plan.on, places[:_PLACES]):
                circuit, final, _ = moved.lower(networks, self.target)
                read = [final[qubit] for qubit in self.measured]
                success = success_probability(circuit, self.target, read)
                rated.append((circuit.num_nonlocal_gates(), -(success or 0.0), moved))
        good = near_best(rated, lambda each: -each[1], self.prefer)
        return min(good, key=lambda each: each[:2])[2] if good else None

    def _candidate(self, blocks: BlockCircuit) -> Candidate | None:
        plan = self.plan(blocks)
        if plan is None:
            return None
        circuit, final = plan.lower(blocks, self.target)
        return Candidate(circuit, final, plan.routing.swaps)

    def plan(self, blocks: BlockCircuit) -> LoweringPlan | None:
        """Return the plan for a circuit's structure: the known one, or a new one."""
        problem = routing_problem(blocks, self.fractional)
        choice = (self.measured, self.prefer, self.portfolio)
        key = content_key("plan", problem, self.device_content, *choice)
        make = partial(self._new_plan, blocks, problem)
        return self.store.recall_json(key, make, LoweringPlan.from_json, LoweringPlan.to_json)

    def _new_plan(self, blocks: BlockCircuit, problem: RoutingProblem) -> LoweringPlan | None:
        """Return a plan; one that uses broken couplings only where there is no other."""
        whole, working = self.couplings, self.couplings.working()
        # Routings of the whole QPU serve every calibration, and mostly fit its working part.
        for routed, placed in ((whole, working), (working, working), (whole, whole)):
            routings = self._routings(problem, routed)
            plan = make_plan(blocks, routings, placed, self.target, self.measured, self.prefer)
            if plan is not None:
                return plan
        return None

    @property
    def fractional(self) -> bool:
        """Whether rzz of any angle is a gate."""
        return "rzz" in self.target.operation_names

    def _reframed(self, blocks: BlockCircuit) -> Candidate | None:
        """Return the circuit in Pauli frames, None where it fits without or does not have them."""
        if self.fits(blocks):
            return None
        found = reframe(blocks, self.fractional, self._frames, self.fits)
        if found is None:
            return None
        vertices = replace(self, measured=tuple(found.final[qubit] for qubit in self.measured))
        lowered = vertices._candidate(found.blocks)
        if lowered is None:
            return None
        final = tuple(lowered.final_layout[vertex] for vertex in found.final)
        return lowered._replace(final_layout=final)

    def fits(self, blocks: BlockCircuit) -> bool:
        """Return whether every block's qubits can be neighbours at once."""
        return fits_directly(routing_problem(blocks, self.fractional), self.couplings)

    def _frames(self, problem: FrameProblem) -> FramePlan | None:
        """Return the gates of a star: the known ones, or newly found ones."""
        key, make = content_key("frames", problem), partial(find_frames, problem)
        return self.store.recall_json(key, make, FramePlan.from_json, FramePlan.to_json)

    def _condensed(self, blocks: BlockCircuit) -> BlockCircuit | None:
        """Return the circuit with its long parts on three qubits condensed, None if none is."""
        enough = ENOUGH_RZZ if self.fractional else ENOUGH_CZ
        long = [
            part.blocks
            for part in split_problem(routing_problem(blocks, self.fractional))
            if condensable(blocks, part.blocks) and self._gates(part) > enough
        ]
        return condense(blocks, long, self.fractional) if long else None

    def _gates(self, part: CircuitPart) -> int:
        """Return the two-qubit gates that a part takes with its swaps."""
        routings = self._routings(part.problem, self.couplings)
        return min((routing.gates for routing in routings), default=0)

    def _routings(self, problem: RoutingProblem, couplings: Couplings) -> list[Routing]:
        """Return routings for a structure; QPUs with the same couplings share them."""
        key = content_key("routings", problem, couplings.pairs, self.portfolio)
        return self.store.recall_json(
            key,
            lambda: find_routings(problem, couplings, self.portfolio),
            lambda content: [Routing.from_json(each) for each in content],
            lambda routings: [each.to_json() for each in routings],
        )
