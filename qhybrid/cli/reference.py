"""The reference page of the commands, made from their definitions.

`docs/cli.md` has it on the documentation site; `python -m qhybrid.cli.reference` prints it.
"""

import re
from typing import Any

import typer

from qhybrid.cli.main import COMMANDS, command_line


def reference() -> str:
    """Return a section of Markdown for each command: usage, arguments, options."""
    group = command_line(list(COMMANDS))
    return "\n".join(_section(name, command) for name, command in group.commands.items())


def _section(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"qhybrid {name}")
    usage = " ".join([f"qhybrid {name}", *command.collect_usage_pieces(context)])
    rows = [record for each in command.get_params(context) if (record := _record(each, context))]
    table = [f"| `{what}` | {meaning} |" for what, meaning in rows]
    lines = [f"## {name}", "", _text(command.help), "", "```text", usage, "```", ""]
    return "\n".join([*lines, "| argument or option | meaning |", "| --- | --- |", *table, ""])


def _record(parameter: Any, context: typer.Context) -> tuple[str, str] | None:
    record = parameter.get_help_record(context)
    return record and (record[0].replace("|", " \\| "), _cell(record[1]))


def _text(help_text: str | None) -> str:
    """What stands in `--help`, without the breaks that keep its paragraphs apart there."""
    return _flags_as_code((help_text or "").replace("\b\n", "").strip())


def _cell(text: str) -> str:
    for special in "|[]<*_":
        text = text.replace(special, f"\\{special}")
    return _flags_as_code(" ".join(text.split()))


def _flags_as_code(text: str) -> str:
    """Put flags into backticks, but for those that are between some."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"--[a-z][a-z-]*", r"`\g<0>`", part) for part in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201
