"""What bits from a device cost; imports nothing heavy."""

import math

from qhybrid_runtime.hardware.billing import MOST_EXECUTIONS, job_seconds

#: Share of fair bits that is counted on: a little less than long sequences yield.
COUNTED_YIELD = 0.75

#: Qubits of the smallest of IBM's devices; how many another has shows when it answers.
LEAST_QUBITS = 120


def executions_for(bits: int, num_qubits: int) -> int:
    """Return how often a circuit is run, so that its readings most likely hold so many fair bits.

    Args:
        bits: How many.
        num_qubits: That are read each time.
    """
    return max(256, math.ceil(bits / (COUNTED_YIELD * num_qubits)))


def measured_seconds(numbers: int, num_qubits: int) -> float:
    """Return the estimated QPU seconds of normally distributed numbers.

    Args:
        numbers: How many, of 24 fair bits each.
        num_qubits: Of the device.
    """
    executions = executions_for(24 * numbers, num_qubits)
    jobs = -(-executions // MOST_EXECUTIONS)
    return job_seconds(0) * (jobs - 1) + job_seconds(executions)
