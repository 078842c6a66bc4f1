"""Measure what a training step costs in one process and in two (docs/cluster.md).

    python docs/measure_processes.py FILE.npz --steps 10

FILE.npz has 28x28 images. Prints the median of the CPU seconds and of the seconds of a step, the
first one left out, of each process. CPU seconds hardly depend on what else a machine does.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise

import torch

from qhybrid.chatter import without_chatter
from qhybrid.launcher import Layout
from qhybrid.ranks import make_fabric, together
from qhybrid.settings.sources import load_config
from qhybrid.training.loop import fit
from qhybrid.training.session import build_session
from qhybrid.training.state import StepHook, TrainingState


class Clock(StepHook):
    """Notes the time after each step."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def after_step(self, state: TrainingState) -> None:
        """Note the CPU seconds of this process, and the time."""
        self.cpu.append(time.process_time())
        self.wall.append(time.perf_counter())


def work(rank: int, size: int, threads: int, port: int, dataset: str, steps: int) -> None:
    """Train as one of `size` processes, and print what a step took."""
    own = {"LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in own.items()}, MASTER_ADDR="127.0.0.1")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    config = load_config(
        overrides={
            "model.name": "unet",
            "data.dataset": dataset,
            "data.limit": 500,
            "training.batch_size": 64,
            "training.max_steps": steps,
            "training.device": "cpu",
        }
    )
    session, clock = build_session(config), Clock()
    batches = session.batches(session.dataset)
    fabric = make_fabric(Layout(size, 1, None, rank == 0), "cpu", [])
    with without_chatter():
        if size == 1:
            fit(fabric, session.state, batches, [clock], clip=1.0)
        else:
            with together(fabric, "start again") as ranks:
                fit(fabric, session.state, batches, [clock], clip=1.0, ranks=ranks)
    cpu, wall = (
        statistics.median(after - before for before, after in pairwise(times))
        for times in (clock.cpu, clock.wall)
    )
    print(
        f"processes {size}  rank {rank}  threads {threads}  CPU {cpu:.3f} s  clock {wall:.3f} s",
        flush=True,
    )


def main(given: Sequence[str] | None = None) -> None:
    """Measure one process with all cores, then two with their share."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--steps", type=int, default=10)
    asked = parser.parse_args(given)
    cores = len(os.sched_getaffinity(0))
    for size in (1, 2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        order = size, max(1, cores // size), port, asked.dataset, asked.steps
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=work, args=(rank, *order)) for rank in range(size)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()


if __name__ == "__main__":
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    main()
