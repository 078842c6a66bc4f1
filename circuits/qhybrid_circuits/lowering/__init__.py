"""Lowering: variational circuits in the gates and on the couplings of a QPU."""

from qhybrid_circuits.lowering.cost.success import success_probability
from qhybrid_circuits.lowering.lower import lower
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_circuits.lowering.passes import LoweringPass, pass_manager
from qhybrid_circuits.lowering.placement.copies import PackedCircuit, pack
from qhybrid_circuits.lowering.placement.regions import disjoint_regions, lower_copies
from qhybrid_circuits.lowering.targets import restricted_target, with_fractional_gates

__all__ = [
    "LoweredCircuit",
    "LoweringPass",
    "PackedCircuit",
    "disjoint_regions",
    "lower",
    "lower_copies",
    "pack",
    "pass_manager",
    "restricted_target",
    "success_probability",
    "with_fractional_gates",
]
