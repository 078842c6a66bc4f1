"""How functions become kernels, which are compiled once on a machine."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

from qhybrid_circuits.locks import one_at_a_time

#: The event, for numba's listeners, that another process compiles a kernel that is needed here.
WAITING = "qhybrid:waiting"

#: Seconds after which a process that compiles a kernel is not waited for any longer.
_PATIENCE = 120


def _compiler(**options: bool) -> Callable[[Any], Any]:
    """Return a decorator that compiles a function, and keeps it for other processes."""
    common = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True, **options}

    def decorate(function: Any) -> Any:
        try:
            return _compiled_once(njit(cache=True, **common)(function))
        except RuntimeError:  # no folder takes it, as in a container without a home
            return njit(**common)(function)

    return decorate


def _compiled_once(dispatcher: Any) -> Any:
    """Let processes that need the same kernel at the same time wait for the one that compiles it.

    A kernel that others call is locked before they are, never after, so that no two processes wait
    for each other.
    """
    compile_or_load, folder = dispatcher.compile, Path(dispatcher.stats.cache_path)
    lock = folder / f".{dispatcher.py_func.__module__}.{dispatcher.py_func.__name__}.lock"
    tell = partial(event.start_event, WAITING)

    def compile_once(signature: Any) -> Any:
        if signature in dispatcher.overloads:
            return compile_or_load(signature)
        # numba's own lock is first with all threads: one that had a file's only would wait for it
        # while the thread that has it waits for the file.
        with global_compiler_lock, one_at_a_time(lock, _PATIENCE, tell):
            return compile_or_load(signature)

    dispatcher.compile = compile_once
    return dispatcher


#: For functions that Python calls.
compiled = _compiler()

#: For functions that only compiled ones call, which takes less time to compile.
kernel = _compiler(no_cpython_wrapper=True)
