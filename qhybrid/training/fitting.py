"""Training a session to its end, alone or together with other processes."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.utils.data import Dataset

from qhybrid.diffusion.noise import NoiseSource, PooledNoise
from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.launcher import Layout
from qhybrid.ranks import RankLost, Ranks, make_fabric, together
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.torch_device import choose_device, suitable_threads
from qhybrid.training.checkpoints import check_finite
from qhybrid.training.loop import fit
from qhybrid.training.outcome import TrainingDiverged, resume_command
from qhybrid.training.precision import Bf16, tf32
from qhybrid.training.preparing import prepare
from qhybrid.training.session import Session, build_session
from qhybrid.training.state import StepHook, TrainingState
from qhybrid.training.stopping import StopSignal
from qhybrid_circuits.errors import NotFiniteError


def fit_session(
    run: Run,
    session: Session,
    images: Dataset[tuple[Tensor, int]],
    hooks: Sequence[StepHook],
    stop: StopSignal,
    layout: Layout,
) -> None:
    """Train a session that is ready; with several processes, as the first of them.

    Raises:
        TrainingDiverged: The loss became infinite or NaN.
        RankLost: Another process was ended.
    """
    state, settings = session.state, session.config.training
    batches, clip = session.batches(images, alone=layout.size == 1), settings.gradient_clip
    fabric = make_fabric(layout, session.device, _plugins(session.config, session.device))
    try:
        with _without_chatter(), stop.listening(), tf32(settings.precision == "tf32"):
            if layout.size == 1:
                fit(fabric, state, batches, hooks, clip=clip)
                return
            # The others begin with all that was read and made here, so that nothing can differ.
            with together(fabric, f"resume with: {resume_command(run.folder)}") as ranks:
                ranks.from_first(_Order.of(session, run))
                agreed = _Agreement(ranks, stop)
                fit(fabric, state, batches, (agreed, *hooks), clip=clip, ranks=ranks)
    except NotFiniteError as error:
        # Circuits refuse such numbers before a loss can show them.
        check_finite(state, run)
        raise TrainingDiverged(state.step + 1, run.newest_checkpoint()) from error


def follow(config: Config, layout: Layout) -> None:
    """Train as another one than the first of several processes; nothing is written or said.

    A process that Fabric began ends here: it was begun for the training alone.

    Raises:
        SystemExit: See above, or the training has ended otherwise.
    """
    device = choose_device(config.training.device)
    fabric = make_fabric(layout, device, _plugins(config, device))
    try:
        with _without_chatter(), together(fabric, "resume it with --resume") as ranks:
            _follow(ranks, fabric, ranks.from_first(None), device)
    except RankLost as error:
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201
        raise SystemExit(1) from error
    if layout.program is None:
        raise SystemExit(0)


@dataclass(frozen=True)
class _Order:
    """What the other processes are told before the first step.

    Attributes:
        config: The run's configuration.
        folder: Its folder.
        state: The content of a checkpoint.
        noise: The noise that was measured beforehand, if any.
    """

    config: Config
    folder: str
    state: bytes
    noise: NoiseSource | None

    @classmethod
    def of(cls, session: Session, run: Run) -> "_Order":
        content, noise = io.BytesIO(), session.state.module.noise
        torch.save(session.state.state_dict(), content)
        pool = noise if isinstance(noise, PooledNoise) else None
        return cls(session.config, str(run.folder.absolute()), content.getvalue(), pool)


def _follow(ranks: Ranks, fabric: Any, order: _Order, device: str) -> None:
    config, quiet = order.config, Console(quiet=True)
    run = Run(Path(order.folder))
    session, stop = build_session(config, run), StopSignal(run)
    content = io.BytesIO(order.state)
    session.state.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
    session.state.module.noise = order.noise or open_noise(config.noise_spec, Path(os.devnull))
    hooks = _Agreement(ranks, stop), _StopHere(stop)
    with (
        session.backend,
        suitable_threads(device, session.spec.image_size),
        TemporaryDirectory() as scratch,
        stop.listening(),
        tf32(config.training.precision == "tf32"),
    ):
        images = prepare(Run(Path(scratch)), session, quiet)
        batches, clip = session.batches(images, alone=False), config.training.gradient_clip
        try:
            fit(fabric, session.state, batches, hooks, clip=clip, ranks=ranks)
        except (NotFiniteError, _Stopped):
            return  # which all processes know


class _Agreement(StepHook):
    """Lets all processes know of a stop that one of them was asked for."""

    def __init__(self, ranks: Ranks, stop: StopSignal) -> None:
        self._ranks, self._stop = ranks, stop

    def after_step(self, state: TrainingState) -> None:
        self._stop.requested = self._ranks.any(self._stop.requested)


class _Stopped(Exception):
    """The training is to stop; the first process saves it."""


class _StopHere(StepHook):
    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop

    def after_step(self, state: TrainingState) -> None:
        if self._stop.requested:
            raise _Stopped


def _plugins(config: Config, device: str) -> list[Any]:
    return [Bf16(device)] if config.training.precision == "bf16" else []


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Silence remarks on hardware, workers and processes; errors stay."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning_fabric\.")
            warnings.filterwarnings("ignore", message="This DataLoader will create")
            warnings.filterwarnings("ignore", message=".*find_unused_parameters=True")
            yield
    finally:
        logger.setLevel(level)
