"""Estimate the cost of random bits from a QPU, without importing anything heavy."""

import math

from qhybrid_circuits.errors import UnknownNameError
from qhybrid_runtime.hardware.billing import MOST_EXECUTIONS, Bill, job_seconds

#: Share of fair bits that bills count on: a little less than long sequences yield.
COUNTED_YIELD = 0.75

#: Qubits of the smallest of IBM's QPUs, for bills before the QPU is known.
LEAST_QUBITS = 120

#: Entangled states that noise can be read from, and their qubits; coins that are read with them.
STATES = ("ghz", "random-circuit")
STATE_QUBITS, COIN_QUBITS = 12, 2

_BITS_A_NUMBER = 24


def check_state(state: str) -> None:
    """Refuse an entangled state that does not exist.

    Raises:
        UnknownNameError: There is no such state.
    """
    if state not in STATES:
        raise UnknownNameError("entangled state", state, STATES)


def executions_for(bits: int, num_qubits: int) -> int:
    """Return the executions on so many qubits that most likely yield a number of fair bits."""
    return max(256, math.ceil(bits / (COUNTED_YIELD * num_qubits)))


def measured_bill(numbers: int, num_qubits: int, state: str = "") -> Bill:
    """Return the bill of normally distributed numbers, 24 fair bits each.

    They are of coins on `num_qubits` qubits, or of an entangled state.
    """
    bits = _BITS_A_NUMBER * numbers
    executions = executions_for(bits, num_qubits)
    if state:
        executions = _BITS_A_NUMBER * math.ceil(numbers / STATE_QUBITS)
    jobs = -(-executions // MOST_EXECUTIONS)
    return Bill(jobs, jobs, executions, job_seconds(0) * (jobs - 1) + job_seconds(executions))


def measured_seconds(numbers: int, num_qubits: int, state: str = "") -> float:
    """Return the estimated QPU seconds of normally distributed numbers; see `measured_bill`."""
    return measured_bill(numbers, num_qubits, state).qpu_seconds
