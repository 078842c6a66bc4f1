"""How a reproduction can end before its last run."""

from qhybrid_circuits.errors import QHybridError


class ReproductionInterrupted(QHybridError):
    """The user, or the system, stopped it; what is done is kept."""
