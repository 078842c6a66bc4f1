"""Peers whose dependencies clash with ours, each in an environment of its own.

`python -m tests.performance.peers.environments` makes those that are not there, in `.peers`.
"""

import argparse
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3] / ".peers"

#: Arguments of pip, in order. The packages of tensorflow-quantum 0.7.6 ask for versions older than
#: those with which it works.
PACKAGES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "tensorflow_quantum": (
        (
            "tensorflow-cpu==2.18.1",
            "cirq-core==1.5.0",
            "cirq-google==1.5.0",
            "sympy==1.14",
            "numpy>=2,<2.1",
            "tf-keras>=2.18,<2.19",
        ),
        ("--no-deps", "tensorflow-quantum==0.7.6"),
    ),
    "tensorcircuit": (("tensorcircuit-ng>=1.10", "jax>=0.10"),),
}


def interpreter(name: str) -> Path:
    """Return the Python of a peer's environment, whether or not it is there."""
    return ROOT / name / "bin" / "python"


def make(name: str) -> None:
    """Make a peer's environment.

    Raises:
        CalledProcessError: pip cannot install a package.
    """
    venv.create(ROOT / name, with_pip=True)
    for packages in PACKAGES[name]:
        command = [str(interpreter(name)), "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PACKAGES), choices=list(PACKAGES))
    for name in parser.parse_args().names:
        if interpreter(name).exists():
            sys.stdout.write(f"{ROOT / name} is there\n")
        else:
            make(name)


if __name__ == "__main__":
    main()
