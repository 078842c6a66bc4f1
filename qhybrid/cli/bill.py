"""`qhybrid bill`, and how `qhybrid sample --dry-run` shows a bill."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from qhybrid.sampling.bill import SamplingBill
    from qhybrid_runtime.hardware.billing import Bill


def bill(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Circuits: QPY, OpenQASM 2 or 3.")
    ],
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="`fake_NAME`, `ibm_NAME`, `ibm`, or another QPU.")
    ] = "fake_fez",
    shots: Annotated[int, typer.Option(metavar="N", help="Per circuit and parameter set.")] = 1024,
    sets: Annotated[
        int, typer.Option(metavar="N", help="Parameter sets of circuits with parameters.")
    ] = 1,
    observables: Annotated[
        str | None, typer.Option(metavar="ZZ,XI", help="What is estimated [Z on each qubit].")
    ] = None,
    primitive: Annotated[
        Literal["estimator", "sampler"] | None,
        typer.Option(help="[sampler for circuits that measure]."),
    ] = None,
    resilience_level: Annotated[
        int, typer.Option(metavar="0-2", help="Error mitigation of the estimator.")
    ] = 1,
    pack: Annotated[str, typer.Option(metavar="auto|N", help="Sets side by side.")] = "1",
    fractional: Annotated[
        bool, typer.Option("--fractional", help="Use rzz and rx of any angle.")
    ] = False,
) -> None:
    """Print what any circuits would cost on a QPU; nothing is paid.

    All circuits of the files are one job, unless they exceed its limits. On a QPU of an account the
    service is asked for its own estimate too, by a dry run.
    """
    from rich.table import Table

    from qhybrid.circuit_bill import circuit_bill, read_circuits
    from qhybrid.cli.console import PatientConsole
    from qhybrid.sampling.request import ExecutionRequest

    given: dict[str, Any] = {"shots": shots, "primitive": primitive, "fractional": fractional}
    given |= {"resilience_level": resilience_level, "pack": ExecutionRequest(pack=pack).pack}
    circuits = read_circuits(files)
    found = circuit_bill(circuits, backend, sets=sets, observables=observables, **given)
    console, table = PatientConsole(), Table(box=None, pad_edge=False)
    for title in ("circuit", "qubits", "depth", "2-qubit gates", "success"):
        table.add_column(title, justify="left" if title == "circuit" else "right")
    for each in found.circuits:
        chance = "not known" if each.success is None else f"{each.success:.2%}"
        numbers = (each.qubits, each.depth, each.two_qubit_gates)
        table.add_row(each.name, *map(str, numbers), chance)
    console.print(table)
    show = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    cost = found.quote.bill
    jobs = f"{cost.jobs:,} job{'s' if cost.jobs > 1 else ''}"
    show(
        f"on {found.qpu}, {found.primitive}, {shots:,} shots: {jobs}, {cost.pubs:,} PUBs, "
        f"{cost.executions:,} executions, about {cost.qpu_seconds:,.1f} QPU seconds"
    )
    stock = found.quote.stock
    if found.primitive == "estimator":
        show(f"by stock classes: {stock.pubs:,} PUBs, about {stock.qpu_seconds:,.1f} QPU seconds")
    if found.service_seconds is not None:
        show(f"by the service's own estimate: {found.service_seconds:,.1f} QPU seconds")
    elif found.service_silence:
        show(f"the service gives no estimate of its own: {found.service_silence}")


def print_bill(bill: "SamplingBill", console: "Console") -> None:
    """Print what a sampling run would cost, and beside it other ways of doing the same."""
    from rich.table import Table

    device = bill.qpu
    show = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    least = " at least" if bill.by_qpu else ""
    show(
        f"images: {bill.images}, steps: {bill.steps}, on {device.name} "
        f"({device.qubits} qubits{least}), "
        f"{bill.shots} shots: {bill.rounds_per_step} rounds and {bill.circuits_per_step} circuits "
        "a step"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for title in ("rounds", "jobs", "PUBs", "executions", "QPU s", "share", "success"):
        table.add_column(title, justify="right")
    _add(table, "as asked", bill.bill, bill)
    for name, part in bill.by_qpu.items():
        _add(table, f"- {name}", part, bill)
    if bill.unpacked != bill.bill:
        _add(table, "without packing", bill.unpacked, bill)
    _add(table, "stock classes", bill.stock, bill)
    if bill.service_seconds is not None:
        seconds = f"{bill.service_seconds:,.0f}"
        table.add_row("by the service", f"{bill.rounds:,}", "", "", "", seconds, "", "")
    console.print(table)
    if bill.service_silence:
        show(f"the service gives no estimate of its own: {bill.service_silence}")
    show(
        f"{_price(bill)}; success: estimated probability that the worst placed circuit runs "
        "without any error; figures are estimates, nothing was submitted"
    )


def _price(bill: "SamplingBill") -> str:
    """Return what the seconds of a bill are compared with, or what they are."""
    left = bill.qpu.left_seconds
    if not bill.qpu.priced:
        free = "nothing is paid" if bill.qpu.simulated else "what its provider asks is not known"
        return f"QPU s: by IBM's rule, for comparison; {free}"
    if left is not None:
        return f"share: of the {left:.0f} s that the plan has left"
    return f"share: of the Open plan's {bill.allowance:.0f} s in 28 days"


def _add(table: "Table", name: str, cost: "Bill", bill: "SamplingBill") -> None:
    success = cost.success_probability
    table.add_row(
        name,
        f"{bill.rounds:,}",
        f"{cost.jobs:,}",
        f"{cost.pubs:,}",
        f"{cost.executions:,}",
        f"{cost.qpu_seconds:,.0f}",
        bill.share(cost),
        "not known" if success is None else f"{success:.2%}",
    )
