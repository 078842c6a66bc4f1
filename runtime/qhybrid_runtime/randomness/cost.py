"""Estimate the cost of random bits from a QPU, without importing anything heavy."""

import math

from qhybrid_runtime.hardware.billing import MOST_EXECUTIONS, Bill, job_seconds

#: Share of fair bits that bills count on: a little less than long sequences yield.
COUNTED_YIELD = 0.75

#: Qubits of the smallest of IBM's QPUs, for bills before the QPU is known.
LEAST_QUBITS = 120


def executions_for(bits: int, num_qubits: int) -> int:
    """Return the executions on so many qubits that most likely yield a number of fair bits."""
    return max(256, math.ceil(bits / (COUNTED_YIELD * num_qubits)))


def measured_bill(numbers: int, num_qubits: int) -> Bill:
    """Return the bill of normally distributed numbers, 24 fair bits each."""
    executions = executions_for(24 * numbers, num_qubits)
    jobs = -(-executions // MOST_EXECUTIONS)
    return Bill(jobs, jobs, executions, job_seconds(0) * (jobs - 1) + job_seconds(executions))


def measured_seconds(numbers: int, num_qubits: int) -> float:
    """Return the estimated QPU seconds of normally distributed numbers."""
    return measured_bill(numbers, num_qubits).qpu_seconds
