"""Drawing the parts that are missing, in this process or in several side by side."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import torch
from rich.progress import Progress

from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.models.model_file import read_spec
from qhybrid.models.rows import MODELS
from qhybrid.sampling.denoiser import denoiser
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.parts import Artist
from qhybrid.sampling.plan import SamplingPlan
from qhybrid.signals import handling
from qhybrid.torch_device import suitable_threads
from qhybrid_circuits.errors import QHybridError
from qhybrid_runtime import get_backend

_POLL_SECONDS = 0.2


class DrawingBar:
    """Shows images, images a second and the time left."""

    def __init__(self, progress: Progress, plan: SamplingPlan, done: int) -> None:
        """Start with the images of earlier sessions."""
        total = sum(map(len, plan.parts))
        self._progress, self._before, self._drawn = progress, done, 0.0
        self._began = time.perf_counter()
        kind = MODELS[plan.config.model.name].process.kind.name
        name, self._unit = f"{total:,} {kind} with {plan.sampler}", kind.split()[-1]
        self._task = progress.add_task(name, total=total, completed=done, speed="", job="")

    def add(self, images: float) -> None:
        """Count images, or parts of them, that were drawn."""
        self.show(self._drawn + images)

    def show(self, drawn: float) -> None:
        """Say how many images were drawn by now in this session."""
        self._drawn = drawn
        speed = drawn / max(time.perf_counter() - self._began, 1e-9)
        text = f"{speed:.3g} {self._unit}/s"
        self._progress.update(self._task, completed=self._before + drawn, speed=text)


def draw_here(artist: Artist, parts: Sequence[range], drawn: Callable[[float], None]) -> None:
    """Draw parts one after the other; `drawn` as of `Artist.draw`."""
    with suitable_threads(artist.device, read_spec(artist.plan.run.folder).image_size):
        for part in parts:
            artist.draw(part, drawn)


def draw_side_by_side(
    run: SamplingRun, plan: SamplingPlan, device: str, parts: Sequence[range], bar: DrawingBar
) -> None:
    """Draw parts in `plan.processes` processes, which share the processors.

    Raises:
        QHybridError: As `Artist.draw`, or the system ended a process.
    """
    context = multiprocessing.get_context("spawn")
    drawn, stop = context.Value("d", 0.0), context.Event()
    order = _Order(run, plan, device, max(1, torch.get_num_threads() // plan.processes))
    pool = ProcessPoolExecutor(plan.processes, context, initializer=_begin, initargs=(drawn, stop))
    try:
        # Ctrl-C reaches all processes of a terminal; this one decides, and they inherit that.
        with handling([signal.SIGINT], signal.SIG_IGN):
            left = {pool.submit(_draw, order, part) for part in parts}
        while left:
            finished, left = wait(left, _POLL_SECONDS, FIRST_EXCEPTION)
            for each in finished:
                each.result()
            bar.show(drawn.value)
    except BrokenProcessPool as error:
        raise QHybridError(
            "a process that draws was ended by the system, perhaps for lack of memory; finished "
            "batches are kept: go on with --resume and fewer --processes"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Order:
    """What a process is told."""

    run: SamplingRun
    plan: SamplingPlan
    device: str
    threads: int

    def artist(self) -> Artist:
        plan, run = self.plan, self.run
        backend = get_backend(plan.backend, **plan.backend_options())
        noise = open_noise(plan.noise, plan.pool_file(run), seed=plan.seed)
        return Artist(plan, denoiser(plan, backend, self.device), self.device, noise, run)


class _Stopped(Exception):
    """The other process does not want more."""


_worker: dict[str, Any] = {}
"""Of a process that draws: what it shares with the first one, and its artist."""


def _begin(drawn: Any, stop: Any) -> None:
    _worker.update(drawn=drawn, stop=stop)
    # Where the first process is killed, nobody else would end this one.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _draw(order: _Order, part: range) -> None:
    torch.set_num_threads(order.threads)
    if "artist" not in _worker:
        _worker["artist"] = order.artist()
    with suitable_threads(order.device, read_spec(order.plan.run.folder).image_size):
        _worker["artist"].draw(part, _count)


def _count(images: float) -> None:
    if _worker["stop"].is_set():
        raise _Stopped
    with _worker["drawn"].get_lock():
        _worker["drawn"].value += images
