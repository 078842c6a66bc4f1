"""`qhybrid serve-fake`."""

import time
from typing import Annotated, Literal

import typer


def serve_fake(
    qpus: Annotated[list[str], typer.Argument(metavar="NAME...", help="Such as fake_fez.")],
    port: Annotated[int, typer.Option(metavar="N", help="Of 127.0.0.1 [a free one].")] = 0,
    plan: Annotated[
        Literal["open", "premium"], typer.Option(help="The open plan has no sessions.")
    ] = "open",
    job_seconds: Annotated[
        float, typer.Option(min=0, metavar="S", help="How long a job takes at least.")
    ] = 0.0,
    pace: Annotated[
        float, typer.Option(min=0, metavar="X", help="Seconds more for each QPU second of a job.")
    ] = 0.0,
) -> None:
    """Stand in for IBM Quantum on this machine, for rehearsals.

    Prints the environment variables that lead IBM's own client here, for a shell to read, and
    serves until Ctrl-C. Jobs are simulated with the noise of the fake QPUs; nothing is paid.
    """
    import signal
    from shlex import quote

    from qhybrid.signals import handling, interrupt
    from qhybrid_runtime.loopback.account import Account
    from qhybrid_runtime.loopback.served_qpu import ServedQpu
    from qhybrid_runtime.loopback.server import LoopbackService

    served = [ServedQpu(name) for name in qpus]
    account = Account(served, plan=plan, job_seconds=job_seconds, pace=pace)
    service = LoopbackService(account, port=port)
    for name, value in service.environment().items():
        typer.echo(f"export {name}={quote(value)}")
    names = ", ".join(account.qpus)
    typer.echo(f"serving {names} at {service.url}; Ctrl-C ends it", err=True)
    # Background processes of a script ignore Ctrl-C unless they say what it does.
    with handling([signal.SIGINT, signal.SIGTERM], interrupt):
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            done = sum(job.status == "Completed" for job in account.jobs)
            said = f"ran {done} jobs of {len(account.jobs)}, {account.paid_seconds:.0f} QPU seconds"
            typer.echo(said, err=True)
    service.close()
