"""Training on a QPU of an account: its jobs are on record, and what is much is agreed to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.training.outcome import resume_command
from qhybrid_circuits.errors import DeviceJobError, QHybridError, QpuLimitError, RequestError
from qhybrid_runtime import Backend
from qhybrid_runtime.backends.qpu import QpuBackend
from qhybrid_runtime.backends.registry import check_backend_name
from qhybrid_runtime.hardware.billing import FREE_SECONDS
from qhybrid_runtime.randomness.cost import LEAST_QUBITS

#: Is told what would be paid for and its QPU seconds, and says whether to go on.
ConfirmSeconds = Callable[[str, float], bool]


def agree(config: Config, resumed: Run | None, confirm: ConfirmSeconds | None) -> None:
    """Ask before more than a minute of QPU time is spent on noise.

    Raises:
        QpuLimitError: It was not agreed to, or exceeds the limit that was set.
    """
    spec, limit = config.noise_spec, config.quantum.max_qpu_seconds
    if spec.pool is None or not check_backend_name(spec.backend).paid:
        return
    if resumed is not None and (resumed.noise_file.exists() or _is_submitted(resumed)):
        return
    seconds = spec.bill(LEAST_QUBITS).qpu_seconds
    what = f"{spec.pool:,} numbers of noise on {spec.backend}"
    if limit is not None and seconds > limit:
        raise QpuLimitError(
            f"the limit of {limit:g} QPU seconds: {what} are estimated at {seconds:.0f} s; use a "
            "smaller training.noise_pool, or a higher --max-qpu-seconds"
        )
    if seconds > FREE_SECONDS and not (confirm is not None and confirm(what, seconds)):
        raise QpuLimitError(
            f"about {seconds:.0f} QPU seconds for {what} were not agreed to; nothing was "
            "submitted; add --yes, or use a smaller --set training.noise_pool=N"
        )


def _is_submitted(run: Run) -> bool:
    """Whether the first job on record is there, which measures noise: it was agreed to."""
    return any(run.jobs_folder.glob("round-*.json"))


@contextmanager
def on_record(run: Run, backend: Backend) -> Iterator[None]:
    """Keep the jobs of an account's QPU in the run's folder, and say how to go on.

    A run that is resumed fetches the rounds since its newest checkpoint by the ids of their jobs.
    """
    if not (isinstance(backend, QpuBackend) and check_backend_name(backend.name).paid):
        yield
        return
    backend.ledger.keep_in(run.jobs_folder)
    going_on = resume_command(run.folder)
    try:
        yield
    except QpuLimitError as error:
        raise QpuLimitError(f"{error}: {going_on}") from error
    except (QHybridError, RequestError, DeviceJobError) as error:
        if type(error) not in (QHybridError, RequestError, DeviceJobError):
            raise
        raise type(error)(
            f"{error}; finished jobs are on record; go on with: {going_on}"
        ) from error
