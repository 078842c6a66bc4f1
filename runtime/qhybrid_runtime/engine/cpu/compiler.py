"""How functions become kernels, which are compiled once on a machine."""

import glob
import time
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

#: Seconds for which this process still waits for others, which may have been stopped.
_patience = [120.0]


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

    A kernel is locked before those that it calls, so that no two processes wait for each other.
    """
    if not hasattr(dispatcher, "compile"):  # numba is switched off: it is the function itself.
        return dispatcher
    compile_or_load, folder = dispatcher.compile, Path(dispatcher.stats.cache_path)
    lock = folder / f".{dispatcher.py_func.__module__}.{dispatcher.py_func.__name__}.lock"
    tell = partial(event.start_event, WAITING)

    def compile_once(signature: Any) -> Any:
        if signature in dispatcher.overloads or _is_kept(dispatcher, signature):
            return compile_or_load(signature)
        # numba's own lock is first with all threads: one that had a file's only would wait for it
        # while the thread that has it waits for the file.
        with global_compiler_lock:
            began = time.monotonic()
            with one_at_a_time(lock, _patience[0], tell):
                _patience[0] -= time.monotonic() - began
                _remove_outdated(dispatcher)
                return compile_or_load(signature)

    dispatcher.compile = compile_once
    return dispatcher


def _is_kept(dispatcher: Any, signature: Any) -> bool:
    cache = dispatcher._cache
    key = cache._index_key(signature, dispatcher.targetctx.codegen())
    return key in cache._cache_file._load_index()


def _remove_outdated(dispatcher: Any) -> None:
    """Remove the machine code of other sources.

    numba writes its index before the code, and numbers the files from 1 again: of a process that is
    killed in between, the index would lead to the code of the former source.
    """
    cache = dispatcher._cache
    if not cache._cache_file._load_index():
        stem = glob.escape(cache._impl.filename_base)
        for file in Path(cache.cache_path).glob(f"{stem}.*.nbc"):
            file.unlink(missing_ok=True)


#: For functions that Python calls.
compiled = _compiler()

#: For functions that only compiled ones call, which takes less time to compile.
kernel = _compiler(no_cpython_wrapper=True)
