"""Facts about the machine that the process runs on."""

import os
from collections.abc import Iterator
from pathlib import Path

#: Names of a control group's files, by version: the limit, the use, and in `memory.stat` the part
#: of it that is a cache of files, which the system gives up first.
_GROUP_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def processors() -> int:
    """Return how many processors the process may use."""
    # On systems other than Linux there is no such limit.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes(root: Path = Path("/")) -> int:
    """Return the bytes of memory that the process may still take.

    That is what the machine has to give, or less where the control groups that the process is in
    (those of a container or a batch job) or its own limit (`ulimit -v`) allow less.

    Args:
        root: The folder with `proc` and `sys`.
    """
    left = [_machine_bytes(root), *_group_bytes(root), *_own_bytes(root)]
    return max(0, min(left))


def _machine_bytes(root: Path) -> int:
    found = _words(root / "proc/meminfo").get("MemAvailable:")
    if found is not None:
        return found * 1024
    # Not Linux: what the machine has in all is the next best answer.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _group_bytes(root: Path) -> Iterator[int]:
    """Yield what each control group leaves that the process is in, those around it too."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            controllers = "memory"
        if controllers not in _GROUP_FILES:
            continue
        top = root / "sys/fs/cgroup" / controllers
        limit_file, use_file, cached = _GROUP_FILES[controllers]
        group = Path(path.strip("/"))
        # In a container the path may be that outside of it: only the mounted folder is there.
        for inner in (group, *group.parents):
            limit, use = _number(top / inner / limit_file), _number(top / inner / use_file)
            if limit is not None and use is not None:
                yield limit - use + _words(top / inner / "memory.stat").get(cached, 0)


def _own_bytes(root: Path) -> Iterator[int]:
    """Yield what the process's own limit on its address space leaves."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield limit - _words(root / "proc/self/status").get("VmSize:", 0) * 1024


def _number(path: Path) -> int | None:
    """Return the number in a file, None where there is no file, or no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _words(path: Path) -> dict[str, int]:
    """Return the numbers of a file with a name and a number in each line; none without the file."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
