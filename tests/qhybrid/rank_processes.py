"""Processes as a launcher starts them, forked from a server that has imported torch already."""

import multiprocessing
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from torch import Tensor

import qhybrid.sampling.session
import qhybrid.training.run_training  # noqa: F401  (what forked processes need not import)
from qhybrid import ranks
from qhybrid.cli.main import main
from qhybrid.diffusion import autoencoder
from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.training.module import DenoisingModule
from qhybrid_circuits.errors import NotFiniteError

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["rank_processes"])

Poison = Callable[[int], None]
"""Spoils something in the process of a rank."""


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment(rank: int, size: int, port: int, program: str | None) -> dict[str, str]:
    own = {"LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": size, "MASTER_PORT": port}
    if program == "torchrun":
        own |= {"RANK": rank, "LOCAL_WORLD_SIZE": size, "TORCHELASTIC_RUN_ID": "test"}
    if program == "srun":
        slurm = {"JOB_ID": 1, "NTASKS": size, "NTASKS_PER_NODE": size, "NNODES": 1, "NODEID": 0}
        slurm |= {"PROCID": rank, "LOCALID": rank}
        own |= {f"SLURM_{name}": value for name, value in slurm.items()}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in own.items()}}


def _begin(
    rank: int, given: dict[str, str], arguments: list[str], said: Path, poison: Poison | None
) -> None:
    os.environ.update(given)
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    torch.set_num_threads(1)
    if poison is not None:
        poison(rank)
    sys.exit(main(arguments))


class RankProcesses:
    """The processes of one command.

    Attributes:
        processes: By rank.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        size: int = 2,
        program: str | None = None,
        poison: Poison | None = None,
    ) -> None:
        """Start them; what they say goes into files in a folder."""
        port, self._folder = free_port(), folder
        # The server looks for this module, and reads what `train` sets, when it is started.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
        folder.mkdir(parents=True, exist_ok=True)
        self.processes: list[BaseProcess] = []
        for rank in range(size):
            given = environment(rank, size, port, program)
            order = rank, given, list(arguments), folder / f"said-{rank}", poison
            self.processes.append(CONTEXT.Process(target=_begin, args=order))
            self.processes[-1].start()

    def codes(self, seconds: float = 120) -> list[int | None]:
        """Wait for all, and return their exit codes; those that do not end are killed."""
        for process in self.processes:
            process.join(seconds)
        found = [process.exitcode for process in self.processes]
        for process in self.processes:
            process.kill()
        return found

    def said(self) -> list[str]:
        """What each of them printed, but for a line of its own by Gloo in torch 2.9."""
        printed = (
            (self._folder / f"said-{rank}").read_text(encoding="utf-8")
            for rank in range(len(self.processes))
        )
        return [re.sub(r"^\[Gloo\] .*\n", "", text, flags=re.MULTILINE) for text in printed]


def fit_autoencoders_briefly(rank: int = 0) -> None:
    """Let autoencoders take fewer steps than the thousand of a run."""
    autoencoder.STEPS = 20


def in_double_precision(rank: int = 0) -> None:
    """Compute the loss in double precision, with a loss of ours: the built-in one is in single."""
    forward = DenoisingModule.forward

    def doubled(self: DenoisingModule, images: Tensor, *others: object) -> Tensor:
        return forward(self, images.double(), *others)  # type: ignore[arg-type]

    def loss(
        self: EpsilonProcess,
        model: Callable[..., Tensor],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: object,
    ) -> Tensor:
        times = torch.randint(1000, images.shape[:1], generator=generator)
        noise = torch.randn(images.shape, generator=generator, dtype=images.dtype)
        found = model(images + noise, times)
        assert found.dtype == torch.float64
        # Not a mean over images, and not of the predictions alone.
        return (found - noise).square().mean().sqrt() + found.mean(0).square().mean()

    make = DenoisingModule.__init__

    def made(self: DenoisingModule, model: torch.nn.Module, *others: object) -> None:
        # What samples are drawn from is in single precision.
        model.double().register_forward_pre_hook(lambda _, given: (given[0].double(), *given[1:]))
        make(self, model, *others)  # type: ignore[arg-type]

    DenoisingModule.forward, DenoisingModule.__init__ = doubled, made  # type: ignore[method-assign]
    EpsilonProcess.loss = loss  # type: ignore[assignment, method-assign]


def _replacing_the_model(number: int, otherwise: Callable[..., Tensor]) -> None:
    """Have this process compute its share of one batch, counted from 1, otherwise."""
    share, calls = ranks.SharedModel.__call__, 0

    def call(self: ranks.SharedModel, x: Tensor, *others: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == number:
            model = self._model
            self._model = lambda *given: otherwise(model(*given))
        return share(self, x, *others)

    ranks.SharedModel.__call__ = call  # type: ignore[method-assign]


def spoil_the_numbers(rank: int) -> None:
    """Have the second process compute NaN in the third batch."""
    if rank == 1:
        _replacing_the_model(3, lambda found: found * torch.nan)


def refuse_the_angles(rank: int) -> None:
    """Have the second process's circuits refuse what they are given in the third batch."""

    def refuse(_: Tensor) -> Tensor:
        raise NotFiniteError("an angle is NaN")

    if rank == 1:
        _replacing_the_model(3, refuse)


def run_out_of_memory(rank: int) -> None:
    """Have the second process fail otherwise in the third batch."""

    def fail(_: Tensor) -> Tensor:
        raise MemoryError("no room")

    if rank == 1:
        _replacing_the_model(3, fail)
