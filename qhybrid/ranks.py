"""Processes that train one model together: how they start, agree, and end when one of them does."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from qhybrid import launcher
from qhybrid.fabric import (
    ClusterEnvironment,
    DDPStrategy,
    Fabric,
    LightningEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from qhybrid.launcher import OWN, Layout, check_devices
from qhybrid_circuits.errors import NotFiniteError, QHybridError
from qhybrid_runtime.share import Share, sharing

PATIENCE = timedelta(days=1)
"""How long a process waits for the others: the first one may measure and draw for hours."""

GRACE_SECONDS = 3.0
"""What a process has to end by itself once another one has ended."""
_POLL_SECONDS = 0.3

_ENVIRONMENTS: dict[str | None, type[ClusterEnvironment]] = {
    None: LightningEnvironment,
    "torchrun": TorchElasticEnvironment,
    "srun": SLURMEnvironment,
    "mpirun": MPIEnvironment,
}


class RankLost(QHybridError):
    """Another process has ended, so that this one cannot go on."""


def make_fabric(layout: Layout, device: str, plugins: list[Any]) -> Fabric:
    """Return what launches the processes, and moves and casts for each of them.

    Args:
        layout: Of the processes.
        device: `cpu` or `cuda`.
        plugins: Of Fabric.

    Raises:
        RequestError: There are fewer GPUs, or processors, than processes on this machine.
    """
    if layout.size == 1:
        return Fabric(accelerator=device, devices=1, plugins=plugins)
    check_devices(layout, device)
    strategy = DDPStrategy(timeout=PATIENCE, find_unused_parameters=True)
    return Fabric(
        accelerator=device,
        devices=layout.devices,
        num_nodes=layout.nodes,
        strategy=strategy,
        plugins=[*plugins, _ENVIRONMENTS[layout.program]()],
    )


class Ranks:
    """The processes as one of them sees them.

    Attributes:
        rank: Its number, from 0; the first one writes the files.
        size: How many there are.
    """

    def __init__(self, fabric: Fabric) -> None:
        """Take the processes that were launched."""
        self.rank, self.size = fabric.global_rank, fabric.world_size
        # What is agreed on is in the processors' memory, so that no GPU is waited for.
        on_processors = dist.get_backend() == "gloo"
        self._group: Any = (
            None if on_processors else dist.new_group(backend="gloo", timeout=PATIENCE)
        )
        self._store = dist.distributed_c10d._get_default_store()

    def any(self, mine: bool) -> bool:
        """Return whether something is true of at least one process; all must ask."""
        flag = torch.tensor(int(mine))
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group)
        return bool(flag)

    def from_first(self, value: Any) -> Any:
        """Return the first process's value; the others' are of no account."""
        values = [value]
        dist.broadcast_object_list(values, group=self._group)
        return values[0]

    def gathered(self, rows: Tensor, counts: list[int]) -> Tensor:
        """Return all processes' rows, of which each has so many, in order; see `SharedModel`."""
        gathered: Tensor = _Gathered.apply(rows, self.rank, counts)
        return gathered

    def tell(self, reason: str) -> None:
        """Leave word of why this process ends, for the others."""
        with suppress(RuntimeError):
            self._store.set("reason", f"{self.rank} {reason}")

    def told(self) -> tuple[int, str] | None:
        """Return which process has left word, and why it ends.

        Raises:
            RuntimeError: The first process, which keeps it, has ended.
        """
        if not self._store.check(["reason"]):
            return None
        number, _, text = self._store.get("reason").decode().partition(" ")
        return int(number), text

    def wait_until_heard(self) -> None:
        """Have the first process, which keeps the word, stay until the others have it."""
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until and self._store.add("heard", 0) < self.size - 1:
            time.sleep(0.01)

    def hear(self) -> None:
        """Say that this process has the word."""
        with suppress(RuntimeError):
            self._store.add("heard", 1)


class SharedModel:
    """A model of whose batches each process computes its share.

    The predictions of all are put together, so that a loss is that of the whole batch on every
    process, and so are its gradients but for those through the predictions: each process has the
    gradient of its own rows, times the number of processes, which the mean over processes undoes.
    Everything else a model has is reached through this, too.
    """

    def __init__(self, model: Callable[..., Tensor], ranks: Ranks) -> None:
        """Share a model."""
        self._model, self._ranks = model, ranks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, x: Tensor, *others: Tensor) -> Tensor:
        """Return the predictions for a batch: `x` and all others have its rows.

        Raises:
            NotFiniteError: Circuits of a process were given NaN or infinity; raised on all.
        """
        ranks, total = self._ranks, len(x)
        if total < ranks.size:
            return self._model(x, *others)
        bounds = [total * number // ranks.size for number in range(ranks.size + 1)]
        mine = slice(bounds[ranks.rank], bounds[ranks.rank + 1])
        counts = [end - first for first, end in pairwise(bounds)]
        error: NotFiniteError | None = None
        try:
            with sharing(Share(ranks.rank, tuple(counts), ranks.gathered)):
                own = self._model(x[mine], *(each[mine] for each in others))
        except NotFiniteError as found:
            error = found
        if ranks.any(error is not None):
            raise error or NotFiniteError("the circuits of another process were given it")
        return ranks.gathered(own, counts)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, counts: list[int]) -> Tensor:
        ctx.rank, ctx.counts = rank, counts
        # As bytes, of which every backend can send any kind of number.
        sent = rows.new_zeros(max(counts), *rows.shape[1:])
        sent[: len(rows)] = rows
        received = [torch.empty_like(sent) for _ in counts]
        dist.all_gather([_bytes(each) for each in received], _bytes(sent))
        return torch.cat([each[:count] for each, count in zip(received, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        first, size = sum(ctx.counts[: ctx.rank]), len(ctx.counts)
        return gradient[first : first + ctx.counts[ctx.rank]] * size, None, None


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.view(-1).view(torch.uint8)


@contextmanager
def together(fabric: Fabric, resume: str) -> Iterator[Ranks]:
    """Launch the processes, and have all of them end when one does.

    The first one says why, in one line; if it was killed, the second one does.

    Args:
        fabric: Of `make_fabric`, for several processes.
        resume: What a user does when a process was killed, a clause.

    Raises:
        RankLost: Another process has ended before its time.
    """
    launcher.began = True
    environment = {name: os.environ.get(name) for name in OWN}
    lost = f"another process was ended by the system or a user; {resume}"
    watch = _Watch(fabric, lost)
    watch.start()
    fabric.launch()
    ranks = Ranks(fabric)
    watch.launched(ranks)
    try:
        yield ranks
        if ranks.rank:
            ranks.hear()  # whatever the first one says from now on
    except BaseException as error:
        watch.done.set()
        _leave(ranks, error, lost)
        raise
    finally:
        watch.done.set()
        # Or what measures images would wait for the other processes' images.
        dist.destroy_process_group()
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _leave(ranks: Ranks, error: BaseException, lost: str) -> None:
    """Tell the others why this process ends; raise what another one said, or that it is gone."""
    if not _is_loss(error):
        ranks.tell(str(error) or type(error).__name__)
        if not ranks.rank:
            ranks.wait_until_heard()
        return
    word = _word(ranks)
    if word is None and not ranks.rank:
        ranks.tell(lost)
        ranks.wait_until_heard()
    if word is not None and ranks.rank:
        ranks.hear()
        raise SystemExit(0 if word[0] == 0 else 1) from error
    raise RankLost(lost if word is None else f"process {word[0]}: {word[1]}") from error


def _word(ranks: Ranks) -> tuple[int, str] | None:
    """Return what another process said before it ended, or the first one of its end."""
    for _ in range(5 if ranks.rank else 1):
        time.sleep(_POLL_SECONDS)
        try:
            word = ranks.told()
        except RuntimeError:  # The first process is gone, and the second one speaks for it.
            return None if ranks.rank == 1 else (1, "")
        if word is not None:
            return word
    return None


def _is_loss(error: BaseException) -> bool:
    """Return whether an error says that a process cannot be reached."""
    kinds = (dist.DistError, dist.DistNetworkError, dist.DistBackendError)
    gloo = isinstance(error, RuntimeError) and ("gloo" in str(error) or "NCCL" in str(error))
    return isinstance(error, kinds) or gloo


class _Watch(threading.Thread):
    """Ends this process where another one has ended, and the main thread waits or works on.

    Attributes:
        done: Set to end the watch.
    """

    def __init__(self, fabric: Fabric, lost: str) -> None:
        super().__init__(daemon=True)
        self._lost = lost
        self._ranks: Ranks | None = None
        # Those that Fabric starts here, as soon as it does.
        self._children: list[Any] = getattr(fabric.strategy.launcher, "procs", [])
        self.done = threading.Event()

    def launched(self, ranks: Ranks) -> None:
        """Take the processes; Fabric, which would kill this one without a line, watches no more."""
        started, self._children = self._children, list(self._children)
        started.clear()
        self._ranks = ranks

    def run(self) -> None:
        while not self.done.wait(_POLL_SECONDS):
            if any(child.poll() for child in self._children):
                self._end(self._lost)
            elif self._ranks is not None:
                self._listen(self._ranks)

    def _listen(self, ranks: Ranks) -> None:
        try:
            word = ranks.told()
        except RuntimeError:
            self._end(self._lost if ranks.rank == 1 else "")
            return
        if word is not None and word[0] != ranks.rank:
            if ranks.rank:
                ranks.hear()
                os._exit(0 if word[0] == 0 else 1)
            self._end(f"process {word[0]}: {word[1]}")

    def _end(self, line: str) -> None:
        """Give the main thread a moment to end by itself, which it can where it has begun."""
        if self._ranks is not None and self.done.wait(GRACE_SECONDS):
            return
        if line:
            print(f"error: {line}", file=sys.stderr, flush=True)  # noqa: T201
        for child in self._children:
            with suppress(OSError):
                child.send_signal(signal.SIGKILL)
        os._exit(1)
