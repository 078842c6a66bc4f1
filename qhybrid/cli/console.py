"""Where commands that work for long print to."""

import os
import sys

from rich.console import Console


class PatientConsole(Console):
    """Goes quiet when its reader leaves, as `head` does, so that the work is not lost."""

    def on_broken_pipe(self) -> None:
        """Print nothing from now on; rich itself would end the process here."""
        self.quiet = True
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
