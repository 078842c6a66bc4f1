"""`qhybrid sample`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qhybrid_circuits.errors import RequestError

if TYPE_CHECKING:
    from qhybrid.sampling.bill import SamplingBill
    from qhybrid.sampling.folder import SamplingRun


def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run's folder.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder [RUN/samplings/SAMPLER-N].")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on in --out, or with the newest unfinished run."),
    ] = False,
    merge: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Put finished shards together, e.g. --merge A --merge B."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what a QPU would cost, and stop.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before spending more than a minute.")
    ] = False,
    **settings: Any,
) -> None:
    """Draw images from a run; the same seed draws the same images.

    Finished batches are kept, and on a QPU (`fake_...`, `ibm...`) every round of circuits: a run
    that was stopped goes on with --resume, without paying twice.
    """
    from qhybrid.allocator import keep_freed_memory
    from qhybrid.launcher import is_quiet
    from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
    from qhybrid.sampling.sample_run import bill_of, sample_run
    from qhybrid.settings.option import option_fields

    if merge and (resume or dry_run):
        raise RequestError(
            "--merge puts finished shards together; leave --resume and --dry-run out"
        )
    if dry_run and resume:
        raise RequestError(
            "--dry-run prints what a new sampling run would cost, but --resume goes on with one; "
            "leave one of them out"
        )
    if merge:
        _merge(run, merge, out, [name for name, value in settings.items() if value is not None])
        return
    keep_freed_memory()
    names = {field.name for field in option_fields(ExecutionRequest)}
    execution = {name: settings.pop(name) for name in names}
    request = SamplingRequest(**settings, execution=ExecutionRequest(**execution))

    from qhybrid.cli.console import PatientConsole

    console = PatientConsole()
    if dry_run:
        from qhybrid.cli.bill import print_bill

        print_bill(bill_of(run, request), console)
        return
    confirm = (lambda _: True) if yes else _ask
    result = sample_run(run, request, out=out, resume=resume, confirm=confirm, console=console)
    if not is_quiet():
        _show_files(result)


def _merge(run: Path, shards: list[Path], out: Path | None, given: list[str]) -> None:
    from qhybrid.sampling.merge import merge_shards

    if given:
        raise RequestError(
            f"--{given[0].replace('_', '-')} is for images that are drawn, but --merge puts images "
            "together that are drawn already; leave it out"
        )
    _show_files(merge_shards(run, shards, out=out))


def _show_files(sampling: "SamplingRun") -> None:
    from qhybrid.cli.console import PatientConsole
    from qhybrid.printing import print_lines

    files = ("images", "grid", "animation", "states", "fidelity", "manifest")
    paths = {name: getattr(sampling, f"{name}_file") for name in files}
    lines = {name: str(path) for name, path in paths.items() if path.is_file()}
    print_lines(PatientConsole(), lines, width=9)


def _ask(bill: "SamplingBill") -> bool:
    """Ask on a terminal; elsewhere nobody could answer."""
    import sys

    if not sys.stdin.isatty():
        return False
    share, left = bill.share(bill.bill), bill.qpu.left_seconds
    part = f"{share} of what the plan allows" if left != 0 else "though the plan has none left"
    if not bill.qpu.priced:
        part = "at its provider's price"
    return bool(typer.confirm(f"Spend {bill.qpu.costs(bill.bill.qpu_seconds)}, {part}?"))


def sample_command() -> Callable[..., None]:
    """Return the command with an option for every setting that has one."""
    from qhybrid.cli.options import with_options
    from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
    from qhybrid.settings.option import option_fields

    return with_options(sample, (*option_fields(SamplingRequest), *option_fields(ExecutionRequest)))
