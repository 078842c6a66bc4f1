import json
from dataclasses import dataclass
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from qhybrid_circuits.lowering.blocks import BlockCircuit
from qhybrid_circuits.lowering.cache import LoweringCache, content_key
from qhybrid_circuits.lowering.condense import ENOUGH_CZ, ENOUGH_RZZ, condensable, condense
from qhybrid_circuits.lowering.couplings import Couplings
from qhybrid_circuits.lowering.parts import Part, split_problem
from qhybrid_circuits.lowering.plan import Plan, find_routings, make_plan, routing_problem
from qhybrid_circuits.lowering.routing import BeamOptions, Routing, RoutingProblem

#: Searches that are run for a new structure. Found by trying on HQConv and FQConv.
PORTFOLIO = (
    BeamOptions(width=40, distance_weight=2.0),
    BeamOptions(width=100, distance_weight=1.0, look_ahead=10, decay=0.85),
)


@dataclass(frozen=True)
class Planner:
    """Plans for one device, made once for each structure and then recalled."""

    store: LoweringCache
    device: Couplings
    target: Target
    device_content: object
    measured: tuple[int, ...]

    def lower(self, blocks: BlockCircuit) -> list[tuple[QuantumCircuit, tuple[int, ...]]]:
        """Return lowered circuits and their final layouts; none if the circuit does not fit."""
        shorter = self._condensed(blocks)
        plan = self.plan(shorter or blocks)
        return [] if plan is None else [plan.lower(shorter or blocks, self.target)]

    def plan(self, blocks: BlockCircuit) -> Plan | None:
        """Return the plan for a circuit's structure: the known one, or a new one."""
        problem = routing_problem(blocks, self._fractional)
        key = content_key("plan", problem, self.device_content, self.measured, PORTFOLIO)
        plan = self.store.get(key)
        if isinstance(plan, Plan):
            return plan
        plan = self.store.read_json(key, Plan.from_json)
        if plan is None:
            routings = self._routings(problem)
            plan = make_plan(blocks, routings, self.device, self.target, self.measured)
            if plan is None:
                return None
            self.store.write(f"{key}.json", json.dumps(plan.to_json()).encode())
        self.store.remember(key, plan)
        return plan

    @property
    def _fractional(self) -> bool:
        return "rzz" in self.target.operation_names

    def _condensed(self, blocks: BlockCircuit) -> BlockCircuit | None:
        """Return the circuit with its long parts on three qubits written anew, None if none is."""
        enough = ENOUGH_RZZ if self._fractional else ENOUGH_CZ
        long = [
            part.blocks
            for part in split_problem(routing_problem(blocks, self._fractional))
            if condensable(blocks, part.blocks) and self._gates(part) > enough
        ]
        return condense(blocks, long, self._fractional) if long else None

    def _gates(self, part: Part) -> int:
        """Return the two-qubit gates that a part takes with its swaps."""
        routings = self._routings(part.problem)
        return min((routing.gates for routing in routings), default=0)

    def _routings(self, problem: RoutingProblem) -> list[Routing]:
        """Return routings for a structure; devices with the same couplings share them."""
        key = content_key("routings", problem, self.device.pairs, PORTFOLIO)
        known: list[Routing] | None = self.store.get(key)
        if known is not None:
            return known
        routings = self.store.read_json(key, _routings_from_json)
        if routings is None:
            routings = find_routings(problem, self.device, PORTFOLIO)
            content = json.dumps([each.to_json() for each in routings]).encode()
            self.store.write(f"{key}.json", content)
        self.store.remember(key, routings)
        return routings


def _routings_from_json(content: Any) -> list[Routing]:
    return [Routing.from_json(each) for each in content]
