"""How processes with other parts of the program are started; imports nothing heavy."""

import os
import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module in this interpreter.

    `-m` alone would let a user's `random.py` in the present folder take the place of Python's own:
    that folder is searched only if it is in this process, too.
    """
    searched = {"", os.getcwd()} & set(sys.path)
    return [sys.executable, *([] if searched else ["-P"]), "-m", module, *arguments]
