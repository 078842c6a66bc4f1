"""How a sampling run on a QPU can end before its last step."""

from qhybrid_circuits.errors import QHybridError, QpuLimitError


class SamplingInterrupted(QHybridError):
    """The user stopped the run; its jobs are on record, and the message says how to go on."""


class BillDeclined(QpuLimitError):
    """The user did not want to spend so much; nothing was submitted."""
