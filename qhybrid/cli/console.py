"""Where commands that work for long print to."""

import os
import sys

import typer
from rich.console import Console


class PatientConsole(Console):
    """Goes quiet when its reader leaves, as `head` does, so that the work is not lost."""

    def on_broken_pipe(self) -> None:
        """Print nothing from now on; rich itself would end the process here."""
        self.quiet = True
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def ask_seconds(what: str, seconds: float) -> bool:
    """Ask on a terminal whether QPU time is to be spent; elsewhere nobody could answer."""
    question = f"Spend about {seconds:.0f} QPU seconds on {what}?"
    return sys.stdin.isatty() and bool(typer.confirm(question))
