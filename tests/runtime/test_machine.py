"""The memory that is available, in made-up machines."""

import subprocess
import sys
from pathlib import Path

import pytest

from qhybrid_runtime import machine

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8192 kB\nHugePages: 0\n")
    write(tmp_path, "proc/self/status", "Name:\tpython\nVmSize:\t    1024 kB\n")
    return tmp_path


def write(root: Path, name: str, content: object) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")


def group(root: Path, folder: str, limit: object, used: int, cached: int, version: int = 2) -> None:
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    write(root, f"{folder}/{names[0]}", limit)
    write(root, f"{folder}/{names[1]}", used)
    write(root, f"{folder}/memory.stat", f"anon 5\n{names[2]} {cached}")


def test_without_limits_it_is_what_the_machine_has(root: Path) -> None:
    assert machine.available_bytes(root) == 8 * MIB
    write(root, "proc/self/cgroup", "0::/user.slice")
    group(root, "sys/fs/cgroup/user.slice", "max", MIB, 0)
    assert machine.available_bytes(root) == 8 * MIB


@pytest.mark.parametrize("limited", ["job", "job/step"])
def test_the_smallest_group_around_the_process_counts(root: Path, limited: str) -> None:
    write(root, "proc/self/cgroup", "0::/job/step")
    group(root, "sys/fs/cgroup/job", "max", 4 * MIB, 0)
    group(root, "sys/fs/cgroup/job/step", "max", 3 * MIB, 0)
    group(root, f"sys/fs/cgroup/{limited}", 5 * MIB, 4 * MIB, MIB // 2)
    assert machine.available_bytes(root) == MIB + MIB // 2


@pytest.mark.parametrize("folder", ["docker/1f", ""], ids=["outside", "container"])
def test_groups_of_the_first_version(root: Path, folder: str) -> None:
    write(root, "proc/self/cgroup", "5:cpu:/docker/1f\n4:memory:/docker/1f\n0::/")
    group(root, f"sys/fs/cgroup/memory/{folder}", 3 * MIB, MIB, 0, version=1)
    assert machine.available_bytes(root) == 2 * MIB


def test_more_use_than_the_limit_leaves_nothing(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/")
    group(root, "sys/fs/cgroup", MIB, 2 * MIB, 0)
    assert machine.available_bytes(root) == 0


def test_the_process_has_a_limit_of_its_own() -> None:
    script = (
        "import resource, qhybrid_runtime.machine as m\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "print(m.available_bytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert 1 << 29 < int(done.stdout) < 1 << 30
