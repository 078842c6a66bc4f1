"""A report in each of its formats."""

import io
import json
from collections.abc import Sequence
from typing import Literal

from qhybrid.report.build import Report
from qhybrid.report.sections import Section, headline, remarks, sections

Format = Literal["table", "md", "json", "html"]

FORMATS: tuple[Format, ...] = ("table", "md", "json", "html")


def render(report: Report, output_format: Format, width: int | None = None) -> str:
    """Return a report as text.

    Args:
        report: What to show.
        output_format: One of `FORMATS`.
        width: Columns of a table; as many as it needs if None.
    """
    if output_format == "json":
        return json.dumps(report.content, indent=2) + "\n"
    if output_format == "html":
        from qhybrid.report.page import page

        return page(report)
    if output_format == "md":
        return _markdown(report)
    return _tables(report, width)


def _markdown(report: Report) -> str:
    lines = [f"# {headline(report.content)}", ""]
    lines += [f"- {remark}" for remark in remarks(report.content)]
    for section in sections(report.content):
        lines += ["", f"## {section.title}", ""]
        columns = range(len(section.headings))
        rule = ["---" if index < section.texts else "---:" for index in columns]
        for row in (section.headings, rule, *section.rows):
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        lines += [f"\n{note}" for note in section.notes]
    return "\n".join(lines) + "\n"


def _tables(report: Report, width: int | None) -> str:
    from rich.console import Console

    # Wide enough that nothing wraps where a program reads.
    console = Console(width=width or 1000, file=io.StringIO(), color_system=None)
    console.print(headline(report.content), highlight=False, markup=False, soft_wrap=width is None)
    for remark in remarks(report.content):
        console.print(f"! {remark}", highlight=False, markup=False)
    for section in sections(report.content):
        console.print(f"\n{section.title}", highlight=False, markup=False)
        console.print(_rich_table(section))
        for note in section.notes:
            console.print(note, highlight=False, markup=False)
    written = console.file
    text = written.getvalue() if isinstance(written, io.StringIO) else ""
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _rich_table(section: Section) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, heading in enumerate(section.headings):
        right = index >= section.texts
        table.add_column(Text(heading), justify="right" if right else "left", overflow="fold")
    for row in _without_repeats(section.rows):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _without_repeats(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Leave the first cells of a row empty where they are those of the row above."""
    shown = []
    above: Sequence[str] = ()
    for row in rows:
        same = 0
        while same < min(2, len(row) - 1) and list(row[: same + 1]) == list(above[: same + 1]):
            same += 1
        shown.append(("",) * same + tuple(row[same:]))
        above = row
    return shown
