"""Facts about the machine that the process runs on."""

import os


def processors() -> int:
    """Return how many processors the process may use."""
    # On systems other than Linux there is no such limit.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes() -> int:
    """Return the bytes of memory that the machine has to give."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # Not Linux: what the machine has in all is the next best answer.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
