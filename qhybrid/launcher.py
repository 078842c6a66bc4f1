"""Which of several processes this one is, and how many there are; imports nothing heavy.

A program starts them, such as torchrun, srun or mpirun, and says so in the environment; or
Lightning Fabric does, which begins the present command again for each `--devices`.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from qhybrid_circuits.errors import RequestError

OWN = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What Fabric puts into the environment of the processes that it starts, and into its own."""


_MPI: tuple[tuple[str, ...], ...] = (
    tuple(f"OMPI_COMM_WORLD_{name}" for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
)
"""What Open MPI says in the environment, and what MPICH and Intel MPI say."""

began = False
"""Whether this program has had several processes already: its environment can say so once."""


@dataclass(frozen=True)
class Launch:
    """The processes that a program started.

    Attributes:
        program: The program.
        rank: Number of this process among all, from 0.
        local_rank: Among those on its machine.
        size: How many there are.
        nodes: On how many machines.
    """

    program: str
    rank: int
    local_rank: int
    size: int
    nodes: int


@dataclass(frozen=True)
class Layout:
    """The processes that one training is done by.

    Attributes:
        devices: Processes on each machine, each with a torch device of its own.
        nodes: Machines.
        program: What started them; None where Fabric does.
        first: Whether this is the first of all, which writes the files.
    """

    devices: int
    nodes: int
    program: str | None
    first: bool

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.devices * self.nodes


ALONE = Layout(1, 1, None, True)
"""One process."""


def launched() -> Launch | None:
    """Return what a program says that started several processes; None where none did."""
    found = _torchrun(os.environ) or _srun(os.environ) or _mpirun(os.environ)
    return None if found is None or found.size == 1 else found


def layout(devices: int | None, nodes: int | None) -> Layout:
    """Return the processes of a training that asks for so many; None leaves them to the launcher.

    Raises:
        RequestError: A launcher started others, or not as many on each machine; or nobody could
            find the first of the machines.
    """
    found = launched()
    if found is not None and found.size % found.nodes:
        raise RequestError(
            f"{found.program} started {found.size} processes on {found.nodes} machines; start the "
            "same number on each"
        )
    if found is not None:
        there = Layout(found.size // found.nodes, found.nodes, found.program, found.rank == 0)
        for flag, asked, present in (
            ("--devices", devices, there.devices),
            ("--nodes", nodes, there.nodes),
        ):
            if asked not in (None, present):
                raise RequestError(
                    f"{flag} is {asked}, but {found.program} started {there.devices} processes on "
                    f"each of {there.nodes} machines; leave {flag} out, or start as many"
                )
        return there
    own = Layout(devices or 1, nodes or 1, None, first=_is_first(several=(nodes or 1) > 1))
    if own.nodes > 1 and not {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= os.environ.keys():
        raise RequestError(
            f"--nodes {own.nodes} needs a way to the first machine: start with torchrun or srun, "
            "or set MASTER_ADDR, MASTER_PORT and NODE_RANK on each machine; see docs/cluster.md"
        )
    return own


def check_devices(layout: Layout, device: str) -> None:
    """Refuse more processes than this machine has devices for, or ones that cannot be started.

    Raises:
        RequestError: See above.
    """
    if layout.size == 1:
        return
    there, what = os.cpu_count() or 1, "processors"
    if device == "cuda":
        import torch

        there, what = torch.cuda.device_count(), "GPUs"
    if layout.devices > there:
        raise RequestError(
            f"--devices must be 1 to {there}, the {what} there are, but is {layout.devices}"
        )
    if layout.program == "mpirun" and not _finds_others():
        raise RequestError(
            "mpirun started several processes, which find each other with the package mpi4py; "
            "install it, or start with torchrun"
        )
    if layout.program is None and (began or hasattr(sys, "ps1")):
        raise RequestError(
            "several processes begin the program again, once for each; train from a program that "
            "trains one such model, or with `qhybrid train`"
        )


def is_quiet() -> bool:
    """Return whether another process on this machine speaks to the user for this one."""
    found = launched()
    return bool(_own_rank() if found is None else found.local_rank)


def _own_rank() -> int:
    """Return the number of the process on its machine, where Fabric started it."""
    return _number(os.environ, "LOCAL_RANK") if os.environ.keys() >= set(OWN) else 0


def _is_first(several: bool) -> bool:
    """Return whether this is the first process, of those on one or several machines."""
    return not _own_rank() and not (several and _number(os.environ, "NODE_RANK"))


def _torchrun(given: Mapping[str, str]) -> Launch | None:
    if "TORCHELASTIC_RUN_ID" not in given:
        return None
    size = _number(given, "WORLD_SIZE", 1)
    nodes = max(1, size // max(1, _number(given, "LOCAL_WORLD_SIZE", 1)))
    return Launch("torchrun", _number(given, "RANK"), _number(given, "LOCAL_RANK"), size, nodes)


def _srun(given: Mapping[str, str]) -> Launch | None:
    # As Fabric detects it: a shell that salloc or `srun --pty bash` gives runs one process.
    if "SLURM_NTASKS" not in given or given.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return None
    rank, local_rank = _number(given, "SLURM_PROCID"), _number(given, "SLURM_LOCALID")
    nodes = max(1, _number(given, "SLURM_NNODES", 1))
    return Launch("srun", rank, local_rank, _number(given, "SLURM_NTASKS", 1), nodes)


def _mpirun(given: Mapping[str, str]) -> Launch | None:
    for rank, size, local_rank, local_size in _MPI:
        if rank in given and size in given:
            count = _number(given, size, 1)
            nodes = max(1, count // max(1, _number(given, local_size, count)))
            return Launch("mpirun", _number(given, rank), _number(given, local_rank), count, nodes)
    return None


def _number(given: Mapping[str, str], name: str, usual: int = 0) -> int:
    """Return a whole number of the environment; what is none is as if it were not there."""
    text = given.get(name, "")
    return int(text) if text.isdecimal() else usual


def _finds_others() -> bool:
    from qhybrid.fabric import MPIEnvironment

    return MPIEnvironment.detect()
