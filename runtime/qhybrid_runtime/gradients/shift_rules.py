import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from qiskit.circuit import ControlledGate, Instruction
from qiskit.circuit.library import CUGate

from qhybrid_runtime.engine.gates import PARAMETERIZED, gate_series
from qhybrid_runtime.standard_gates import is_standard


class ShiftRule(NamedTuple):
    """The derivative of an expectation value in a gate's angle, from values at shifted angles.

    The derivative of f at t is the sum of c (f(t + s) - f(t - s)) over shifts s and coefficients c.

    Attributes:
        shifts: In radians, positive, ascending.
        coefficients: One a shift.
    """

    shifts: tuple[float, ...]
    coefficients: tuple[float, ...]


def shift_rules(gate: Instruction) -> tuple[ShiftRule, ...] | None:
    """Return the rule of each of a gate's angles, or None where the gate must be decomposed.

    The rules follow from the gate's matrix: two terms for a rotation, whose generator has two
    eigenvalues, and for phases, controlled ones too; four for a controlled rotation, whose
    generator has three.
    """
    # A gate made of a circuit may have any name, and one under many controls is better decomposed:
    # QPUs do so, and turn by fractions of its angle.
    if not is_standard(gate):
        return None
    controlled = isinstance(gate, ControlledGate)
    name = (gate.base_gate if controlled else gate).name
    if isinstance(gate, CUGate):
        # CU has a fourth angle, a phase, that the U gate under its control does not know.
        name = "cu"
    if name not in PARAMETERIZED:
        return None
    return tuple(
        _rule(frequencies(name, angle, controlled=controlled)) for angle in range(len(gate.params))
    )


@cache
def frequencies(name: str, angle: int, *, controlled: bool) -> tuple[float, ...]:
    """Return the frequencies with which expectation values change with one angle of a gate.

    They are the differences between those of the matrix entries: positive, ascending, in 1 / rad.
    `name` is a key of `PARAMETERIZED`.
    """
    series = gate_series(name)
    modes = set(series.frequencies[series.coefficients != 0][:, angle].tolist())
    if controlled:
        modes.add(0.0)
    return tuple(sorted({a - b for a in modes for b in modes if a > b}))


def _rule(present: Sequence[float]) -> ShiftRule:
    """Return the rule for frequencies: multiples of one, some of which may be absent.

    Wierichs et al., Quantum 6, 677 (2022), equation (24): 2R equally spaced shifts for R
    equidistant frequencies; those beyond half a period are taken as negative ones.
    """
    if not present:
        return ShiftRule((), ())
    steps = [round(frequency * 2) for frequency in present]
    unit = math.gcd(*steps)
    terms, base = max(steps) // unit, unit / 2
    shifts = [(2 * k + 1) * math.pi / (2 * terms) for k in range(terms)]
    weights = (base * (-1) ** k / (4 * terms * math.sin(s / 2) ** 2) for k, s in enumerate(shifts))
    return ShiftRule(tuple(shift / base for shift in shifts), tuple(weights))
