"""How `qhybrid sample --dry-run` shows a bill."""

from functools import partial

from rich.console import Console
from rich.table import Table

from qhybrid.sampling.bill import SamplingBill
from qhybrid_runtime.hardware.billing import Bill


def print_bill(bill: SamplingBill, console: Console) -> None:
    """Print what a sampling run would cost, and beside it other ways of doing the same."""
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
    console.print(table)
    left = device.left_seconds
    share = f"the {left:.0f} s that the plan has left" if left is not None else "the Open plan's"
    show(
        f"share: of {share} {'' if left is not None else f'{bill.allowance:.0f} s in 28 days'}; "
        "success: estimated probability that the worst placed circuit runs without any error; "
        "figures are estimates, nothing was submitted"
    )


def _add(table: Table, name: str, cost: Bill, bill: SamplingBill) -> None:
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
