"""IBM's client finds a loopback service in the place of IBM Quantum, with waits that are short."""

import json
import os
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """A service in another process.

    Attributes:
        url: Its address.
    """

    url: str

    def jobs(self) -> int:
        """Return how many jobs it was given, cancelled ones left out."""
        with urllib.request.urlopen(f"{self.url}/loopback/state") as answer:
            jobs = json.load(answer)["jobs"]
        return sum(job["status"] != "Cancelled" for job in jobs)


@contextmanager
def serving(qpu: str) -> Iterator[Service]:
    """Serve a fake QPU for the time of the block, to processes that are forked in it."""
    from qhybrid_runtime.hardware import service_client

    service_client._FIRST_POLL_SECONDS = service_client._LONGEST_POLL_SECONDS = 0.05
    command = [sys.executable, "-m", "qhybrid", "serve-fake", qpu]
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    process = subprocess.Popen(
        command, env=plain, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        said = (process.stdout.readline().removeprefix("export ") for _ in range(9))
        told = dict(shlex.split(line)[0].split("=", 1) for line in said)
        before = {name: os.environ.get(name) for name in told}
        os.environ.update(told)
        yield Service(told["IAM_URL"].removesuffix("/iam"))
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    finally:
        process.terminate()
        process.wait()
