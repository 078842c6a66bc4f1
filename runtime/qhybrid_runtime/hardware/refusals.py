"""What is raised where the service fails, or refuses, a call again and again."""

from qhybrid_circuits import QHybridError, RequestError
from qhybrid_runtime.hardware.accounts import without_token
from qhybrid_runtime.hardware.client_internals import may_pass
from qhybrid_runtime.hardware.job_client import JobFailed

#: Calls in a row that may be refused: twice by a session, then by the QPU itself.
FEW_TRIES = 3


def final_error(
    doing: str, error: Exception, code: int | None, tries: int, most: int
) -> Exception | None:
    """Return what to raise after so many tries, or None where another try may help."""
    kind = type(error).__name__
    message = without_token(str(error) or kind)
    if kind == "RuntimeJobNotFound":
        return JobFailed("the service does not know it any more")
    if kind in ("IBMInputValueError", "RuntimeProgramNotFound"):
        return RequestError(f"cannot {doing}: {message}")
    # A request that is refused stays refused, but for a session that is over or a token that is.
    if tries < (most if may_pass(code) else min(most, FEW_TRIES)):
        return None
    if code == 401:
        return RequestError(
            f"cannot {doing}: {message}; the account's token is refused: check QISKIT_IBM_TOKEN, "
            "or the saved account, then go on with --resume"
        )
    return QHybridError(
        f"cannot {doing}: {message}; jobs that were submitted go on without us: check the network, "
        "then go on with --resume"
    )
