"""What a run was made with, for those who want to repeat it."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "qhybrid",
    "torch",
    "lightning-fabric",
    "diffusers",
    "qiskit",
    "qiskit-aer",
    "qiskit-machine-learning",
    "numpy",
    "torchvision",
    "scikit-learn",
)


def describe_environment(**request: Any) -> dict[str, Any]:
    """Versions, source revision and hardware.

    Args:
        request: What else to record, e.g. seed and backend.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **request,
        "command": sys.argv,
        "versions": {"python": platform.python_version(), **package_versions()},
        "git_revision": git_revision(),
        "hardware": hardware(),
    }


def package_versions() -> Mapping[str, str | None]:
    """Installed versions of the packages that a result depends on; None where one is missing."""
    return {name: _version(name) for name in PACKAGES}


def git_revision() -> str | None:
    """The commit of qhybrid's source tree, "+changes" added; None where it is not a git tree."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    commit = _git(source, "rev-parse", "HEAD")
    changed = _git(source, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if commit and changed else commit


def hardware() -> dict[str, Any]:
    """Processor, cores and accelerators."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(source: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(source), *arguments]
        printed = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return printed.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
