"""`qhybrid sample`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from qhybrid.sampling.bill import SamplingBill


def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run's folder.")],
    backend: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Where circuits run [the training run's backend]."),
    ] = None,
    num_images: Annotated[int, typer.Option(metavar="N", help="How many images.")] = 64,
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="ddpm, ddim, dpm++, sde-dpm++, sde or ode [the run's; ddim on a device].",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Denoising steps [the run's, or the sampler's; 10]."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder [RUN/samplings/SAMPLER-N].")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on in --out, or with the newest unfinished device run."),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Of the noise [the run's seed].")
    ] = None,
    noise_source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="gaussian, or quantum: measured on the backend [the run's]."
        ),
    ] = None,
    noise_pool: Annotated[
        int | None,
        typer.Option(metavar="N", help="Numbers of quantum noise measured once [as needed]."),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(metavar="N", help="Executions a circuit and image [1024].")
    ] = None,
    primitive: Annotated[
        Literal["estimator", "sampler"] | None, typer.Option(help="On devices [estimator].")
    ] = None,
    resilience_level: Annotated[
        int | None,
        typer.Option(metavar="0-2", help="Error mitigation of the estimator [1: readout]."),
    ] = None,
    dynamical_decoupling: Annotated[
        bool | None,
        typer.Option("--dynamical-decoupling", help="Play pulses on waiting qubits."),
    ] = None,
    twirling: Annotated[
        bool | None, typer.Option("--twirling/--no-twirling", help="Twirl gates.")
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(metavar="auto|N", help="Images side by side in one execution [1]."),
    ] = None,
    fractional: Annotated[
        bool | None, typer.Option("--fractional", help="Use rzz and rx of any angle.")
    ] = None,
    mode: Annotated[
        Literal["session", "batch", "job"] | None,
        typer.Option(help="Execution mode on IBM's devices [by plan]."),
    ] = None,
    hardware_steps: Annotated[
        int | None,
        typer.Option(metavar="K", help="Only the last K steps on the backend [all]."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what a device would cost, and stop.")
    ] = False,
    max_qpu_seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Stop, resumable, before spending more.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before spending more than a minute.")
    ] = False,
) -> None:
    """Draw images from a training run; the same seed draws the same images.

    On a device (`fake_...`, `ibm...`) every round of circuits is recorded, so that a run that was
    stopped goes on without paying twice.
    """
    from qhybrid.allocator import keep_freed_memory
    from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
    from qhybrid.sampling.sample_run import bill_of, sample_run

    keep_freed_memory()
    request = SamplingRequest(
        num_images=num_images,
        sampler=sampler,
        steps=steps,
        backend=backend,
        seed=seed,
        noise_source=noise_source,
        noise_pool=noise_pool,
        execution=ExecutionRequest(
            shots=shots,
            primitive=primitive,
            resilience_level=resilience_level,
            dynamical_decoupling=dynamical_decoupling,
            twirling=twirling,
            pack=_pack(pack),
            fractional=fractional,
            mode=mode,
        ),
        hardware_steps=hardware_steps,
        max_qpu_seconds=max_qpu_seconds,
    )

    from qhybrid.cli.console import PatientConsole

    console = PatientConsole()
    if dry_run:
        from qhybrid.cli.bill import print_bill

        print_bill(bill_of(run, request), console)
        return
    result = sample_run(
        run,
        request,
        out=out,
        resume=resume,
        confirm=(lambda _: True) if yes else _ask,
        console=console,
    )
    for name, path in (
        ("images", result.images_file),
        ("grid", result.grid_file),
        ("animation", result.animation_file),
        ("manifest", result.manifest_file),
    ):
        console.print(f"[bold]{name:>9}[/bold]  ", end="")
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)


def _pack(text: str | None) -> int | str | None:
    from qhybrid_circuits.errors import RequestError

    if text is None or text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise RequestError(f"--pack must be auto or a whole number from 1, but is '{text}'")
    return int(text)


def _ask(bill: "SamplingBill") -> bool:
    """Ask on a terminal; elsewhere nobody could answer."""
    import sys

    if not sys.stdin.isatty():
        return False
    seconds, share = bill.bill.qpu_seconds, bill.bill.qpu_seconds / bill.allowance
    question = f"Spend about {seconds:.0f} QPU seconds, {share:.0%} of what the plan allows?"
    return bool(typer.confirm(question))
