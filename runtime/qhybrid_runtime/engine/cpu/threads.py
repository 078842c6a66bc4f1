import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from qhybrid_circuits.caching import Cache

_POOLS: Cache[ThreadPoolExecutor] = Cache(4)


def run_tasks(count: int, run: Callable[[int, int], None]) -> None:
    """Call `run(first, last)` on contiguous parts of `count` tasks, in torch's number of threads.

    The calling thread takes a part itself. A forked process makes threads of its own: those of its
    parent did not come with it.
    """
    threads = max(1, min(torch.get_num_threads(), count))
    bounds = [count * part // threads for part in range(threads + 1)]
    waiting = [_pool(threads - 1).submit(run, *bounds[p : p + 2]) for p in range(1, threads)]
    run(*bounds[:2])
    for part in waiting:
        part.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    named = "qhybrid-statevector"
    return _POOLS.get((os.getpid(), threads), lambda: ThreadPoolExecutor(threads, named))
