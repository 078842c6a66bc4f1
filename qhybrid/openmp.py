"""How threads of torch and Aer wait for each other."""

import os
import sys

VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
"""With any of these a user has chosen already."""

SPINS = 2_000
"""How often a waiting thread looks before it sleeps: for some microseconds."""


def let_waiting_threads_sleep() -> bool:
    """Tell OpenMP that a thread that waits for others looks for them for a moment, then sleeps.

    GNU OpenMP looks 300,000 times. Beside another program that keeps the cores busy, a thread that
    looks holds a core from the very thread that it waits for. To sleep at once takes a quarter
    longer on an idle machine; docs/performance.md has the figures. To be called before
    torch is imported, which reads the setting once. It changes the whole process and its children,
    so it is for programs (the command line calls it), not for libraries.

    Returns:
        Whether it was set: not after torch was imported, nor over a user's choice.
    """
    if "torch" in sys.modules or any(name in os.environ for name in VARIABLES):
        return False
    os.environ[VARIABLES[0]] = str(SPINS)
    return True
