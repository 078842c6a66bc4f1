"""Training on a QPU of an account: its jobs are on record, and what is much is agreed to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from rich.console import Console

from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.quoting import QuotingBackend
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.training.outcome import resume_command
from qhybrid.training.session import Session
from qhybrid.words import counted
from qhybrid_circuits.errors import DeviceJobError, QHybridError, QpuLimitError, RequestError
from qhybrid_runtime import Backend, continue_at
from qhybrid_runtime.backends.qpu import QpuBackend
from qhybrid_runtime.backends.registry import check_backend_name
from qhybrid_runtime.hardware.billing import FREE_SECONDS, Bill, calibrated_once, total
from qhybrid_runtime.layer import on_backend
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


def agree_to_rounds(
    session: Session, resumed: Run | None, confirm: ConfirmSeconds | None, console: Console
) -> None:
    """Say what training on a QPU costs, and ask before more than a minute of it is paid for.

    A limit that was set is agreed to: training stops there, and can be resumed.

    Raises:
        QpuLimitError: It was not agreed to.
    """
    backend, plan = session.backend, session.state.plan
    if not isinstance(backend, QpuBackend):
        return
    step, qpu = training_bill(session, backend), backend.qpu
    left = plan.total_steps - (resumed.newest_step() if resumed else 0)
    bill = calibrated_once(step.times(left), backend.settings)
    console.print(
        f"{qpu.described}: {counted(left, 'step')} of {counted(step.jobs, 'job')}, "
        f"{bill.executions:,} executions, {qpu.costs(bill.qpu_seconds)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    limit = session.config.quantum.max_qpu_seconds
    if qpu.simulated or bill.qpu_seconds <= FREE_SECONDS or limit is not None:
        return
    what = f"{left:,} training steps on {qpu.name}"
    what += "" if qpu.priced else ", at its provider's price"
    if confirm is None or not confirm(what, bill.qpu_seconds):
        raise QpuLimitError(
            f"{qpu.costs(bill.qpu_seconds)} for {what} were not agreed to; nothing "
            "was submitted; add --yes, set --max-qpu-seconds N, or take fewer steps with --set "
            "training.max_steps=N"
        )


def training_bill(session: Session, backend: QpuBackend) -> Bill:
    """Return what one training step costs: the rounds of its batches, and of their gradients."""
    module, plan = session.state.module, session.state.plan
    quoting, device = QuotingBackend(backend), next(module.model.parameters()).device
    images = torch.zeros(plan.batch_size, *session.spec.input_shape, device=device)
    labels = torch.zeros(plan.batch_size, dtype=torch.long, device=device)
    with on_backend(module.model, quoting):
        continue_at(module.model, 0)
        loss = module.process.loss(module.model, images, labels, torch.Generator(), GaussianNoise())
        torch.autograd.backward(loss)
    module.zero_grad()
    return total(quote.bill for quote in quoting.quotes).times(plan.accumulate)


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
