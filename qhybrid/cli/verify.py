"""`qhybrid verify`."""

from typing import TYPE_CHECKING, Annotated

import typer

from qhybrid.cli.tables import Format, show_table

if TYPE_CHECKING:
    from qhybrid.verification.verify import Finding


def verify(
    circuits: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ANSATZ|GATE|MODEL|RUN]...",
            help="hqconv, crx, a model, or a run's folder, ... [all built-in ansätze].",
        ),
    ] = None,
    packages: Annotated[
        list[str] | None,
        typer.Option(
            "--package",
            metavar="NAME",
            help="Tools of this package alone, e.g. qiskit-aer.",
        ),
    ] = None,
    output_format: Annotated[
        Format,
        typer.Option("--format", help="How to print: table, md or json.", show_choices=False),
    ] = "table",
) -> None:
    """Run circuits through stock tools: right, wrong, or refused.

    The truth is qiskit.quantum_info's. Exit code 1 says that a tool of qhybrid's own is wrong.
    """
    from qhybrid.cli.output import telling

    with telling(long=False) as tell:
        tell("loading Qiskit")
        from qhybrid.verification.verify import find_tools
        from qhybrid.verification.verify import verify as run

        findings = run(circuits or (), find_tools(packages or ()), tell)
    if output_format == "json":
        show_table([each.to_dict() for each in findings], (), output_format)
    else:
        for quantity, title in _TITLES.items():
            _show(findings, quantity, title, output_format)
        _show_notes(findings)
    if any(each.tool.startswith("qhybrid") and each.verdict != "right" for each in findings):
        raise typer.Exit(1)


_TITLES = {
    "values": "Expectation values",
    "readout": "Expectation values with a readout error of 0.1",
    "gradients": "Gradients by inputs and weights",
}


def _show(findings: list["Finding"], quantity: str, title: str, output_format: Format) -> None:
    rows: dict[str, dict[str, str]] = {}
    for each in findings:
        circuit, asked = each.case.rsplit(" ", 1)
        if asked == quantity:
            name = each.tool if each.version is None else f"{each.tool} ({each.version})"
            rows.setdefault(name, {"tool": name})[circuit] = _cell(each)
    if rows:
        typer.echo(f"{title}\n")
        records = list(rows.values())
        show_table(records, tuple(records[0]), output_format)
        typer.echo("")


def _cell(each: "Finding") -> str:
    if each.verdict == "wrong" and each.error is not None:
        return f"WRONG by {each.error:.2f}" if each.error > 0.01 else f"WRONG by {each.error:.0e}"
    return each.verdict


def _show_notes(findings: list["Finding"]) -> None:
    """Print what is known about what is not right, each once, with the tools that it concerns."""
    notes: dict[tuple[str, str, str], dict[str, None]] = {}
    for each in findings:
        if each.verdict in ("wrong", "refused") or each.message:
            key = (each.verdict, each.message, " ".join(each.issues))
            notes.setdefault(key, {})[each.tool] = None
    for (verdict, message, issues), tools in notes.items():
        typer.echo(f"{verdict}: {message}")
        for line in ("; ".join(tools), *filter(None, [issues])):
            typer.echo(f"  {line}")
    counts = [sum(each.verdict == v for each in findings) for v in ("right", "wrong", "refused")]
    typer.echo(f"\n{counts[0]} right, {counts[1]} wrong, {counts[2]} refused")
