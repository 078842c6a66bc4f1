"""What to know of a GPU in under eight minutes: right values, times, and whether it is waited for.

The parts come in the order of their worth. After each, the table and the JSON are written anew, so
that a machine that is taken away leaves what was measured; a part that would begin after
`BUDGET_S` is named as skipped.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from qhybrid.fabric import Fabric
from qhybrid.settings.sources import load_config
from qhybrid.training.loop import fit
from qhybrid.training.precision import Bf16, tf32
from qhybrid.training.session import build_session
from qhybrid.training.state import StepHook, TrainingState
from qhybrid_circuits.files import replacing
from qhybrid_runtime.engine.expectations import Executor, executor_for
from qhybrid_runtime.engine.program import Program
from qhybrid_runtime.engine.torch.executor import TorchExecutor
from qhybrid_runtime.engine.torch.gpu import GpuExecutor
from qhybrid_runtime.engine.torch.recordings import Recordings
from tests.performance.cases import case, circuits
from tests.performance.contenders import JAX, disagreement, prepare_engine
from tests.performance.figures import SAME, Row
from tests.performance.smi import summary, watched_gpu
from tests.performance.timing import duration

#: Seconds after which no further part begins; the last ones take less than a minute each.
BUDGET_S = 390.0

#: Seconds in which `BAR_STEPS` of 1hqconv-qvunet at paper scale must be done: 32 ms a step.
BAR_S, BAR_STEPS = 300.0, 9375

#: How much faster HQConv must be than JAX vmap on the same GPU, at a batch of 1,024.
JAX_BAR = 20.0

#: Largest differences from the CPU that are allowed.
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-12}


@dataclass(frozen=True)
class Scale:
    """How much is measured; the small one rehearses the script on the CPU."""

    device: str
    batches: tuple[int, ...]
    models: tuple[str, ...]
    image: tuple[int, int]  # Side, and number in a batch.
    steps: tuple[int, int]  # Before the clock runs, and while it does.
    rounds: int


PAPER = Scale(
    "cuda",
    (128, 1024),
    ("1hqconv-qvunet", "unet", "fullhqconv-qvunet", "quanvunet", "qbottleneck-unet"),
    (28, 128),
    (12, 40),
    5,
)
SMALL = Scale("cpu", (2,), ("unet",), (8, 4), (1, 2), 1)


@dataclass
class Report:
    """Rows that were measured so far, with figures of the GPU during each."""

    rows: list[Row] = field(default_factory=list)
    smi: dict[str, str] = field(default_factory=dict)


def measure(scale: Scale) -> Iterator[Report]:
    """Yield the report after each part."""
    report, begin = Report(), time.monotonic()
    parts: dict[str, Callable[[], list[Row]]] = {
        "values and gradients": partial(correctness_rows, scale),
        **{f"HQConv, batch {b}": partial(circuit_rows, scale, b) for b in scale.batches},
        **{f"training {m}": partial(step_rows, scale, m) for m in scale.models},
        "HQConv against JAX": partial(jax_rows, scale),
        **{
            f"training {scale.models[0]}, {precision}": partial(
                step_rows, scale, scale.models[0], precision
            )
            for precision in (() if scale is SMALL else ("tf32", "bf16"))
        },
    }
    for name, part in parts.items():
        spent = time.monotonic() - begin
        if spent > BUDGET_S:
            report.rows.append(Row(name, f"skipped: {spent:.0f} s had passed"))
            continue
        with watched_gpu() as seen:
            try:
                report.rows += part()
            except Exception as error:  # The other parts are worth having.
                text = str(error).strip().split("\n")[0]
                report.rows.append(Row(name, f"failed: {type(error).__name__}: {text}", met=False))
        report.smi[name] = summary(seen)
        yield report


def write(report: Report, folder: Path, table: str, machine: str) -> None:
    """Write `gpu.md` and `gpu.json` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "gpu.md") as temporary:
        temporary.write_text(f"{table}\n\n{machine}\n")
    content = {
        "machine": machine,
        "rows": [asdict(row) for row in report.rows],
        "nvidia-smi": report.smi,
    }
    with replacing(folder / "gpu.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _executors(device: str) -> Mapping[str, Callable[[Program, frozenset[int]], Executor]]:
    """What a GPU can run a circuit by, the usual way first."""

    def unrecorded(program: Program, support: frozenset[int]) -> Executor:
        return GpuExecutor(program, support, Recordings(usable=lambda tensors: False))

    def torch_operations(program: Program, support: frozenset[int]) -> Executor:
        executor = GpuExecutor(program, support)
        executor.sweep = executor.differentiable
        return executor

    # Triton's interpreter takes the GPU's place where it was asked for.
    usual = device if device == "cuda" or "TRITON_INTERPRET" not in os.environ else "triton"
    return {
        "as usual": lambda program, support: executor_for(program, usual, support),
        "no CUDA graph": unrecorded,
        "torch operations in a CUDA graph": torch_operations,
        "torch operations": TorchExecutor,
    }


def _engine(full: Any, dtype: torch.dtype, device: str, name: str) -> Callable[[], Any]:
    """Return the engine's evaluation of a case by one of `_executors`."""
    run = prepare_engine(full, dtype, device)
    made: dict[int, Executor] = {}

    def choose(program: Program, _: str, support: frozenset[int]) -> Executor:
        if id(program) not in made:
            made[id(program)] = _executors(device)[name](program, support)
        return made[id(program)]

    def chosen() -> Any:
        with patch("qhybrid_runtime.engine.expectations.executor_for", choose):
            return run()

    return chosen


def correctness_rows(scale: Scale) -> list[Row]:
    """Compare values and gradients with the CPU's, before and after they are recorded."""
    rows = []
    for name, variational in circuits(scale is SMALL).items():
        for dtype, close in CLOSE.items():
            full = case(variational, 2 if scale is SMALL else 16)
            expected = prepare_engine(full, dtype)
            for how in ("as usual", "torch operations"):
                run = _engine(full, dtype, scale.device, how)
                differences = [disagreement(run, expected) for _ in range(4)]
                worst = max(differences)
                figure = f"{name}, {str(dtype).removeprefix('torch.')}, {how}: from the CPU"
                rows.append(Row(figure, f"{worst:.1e}", bar=f"{close:.0e}", met=worst <= close))
    return rows


def circuit_rows(scale: Scale, batch: int) -> list[Row]:
    """Time HQConv's value and vector-Jacobian product by each way to run it."""
    full = case(circuits(scale is SMALL)["HQConv"], batch)
    rows = []
    for how in _executors(scale.device):
        run = _engine(full, torch.float32, scale.device, how)
        measured = f"{duration(_seconds(run, scale))}; {_launches(run, scale.device)}"
        rows.append(Row(f"HQConv, value + VJP, batch {batch}, {how}", measured))
    return rows


def jax_rows(scale: Scale) -> list[Row]:
    """Time JAX's jit and vmap on the same GPU."""
    rows = []
    for batch in reversed(scale.batches):  # The one with a bar first: JAX compiles for long.
        bar = f"{JAX_BAR:g}x faster" if batch == 1024 else ""
        figure = f"HQConv, value + VJP, batch {batch}, against {JAX.name}"
        absent = _jax_absent(scale.device)
        if absent:
            rows.append(Row(figure, f"absent: {absent}", bar=bar))
            continue
        full = case(circuits(scale is SMALL)["HQConv"], batch)
        ours, theirs = _engine(full, torch.float32, scale.device, "as usual"), JAX.prepare(full)
        difference = disagreement(ours, theirs)
        if difference > SAME:
            raise RuntimeError(f"{JAX.name} differs from the engine by {difference}")
        times = _seconds(ours, scale), _seconds(theirs, scale)
        ratio = times[1] / times[0]
        met = ratio >= JAX_BAR if bar else None
        measured = f"{duration(times[0])}; {duration(times[1])}"
        rows.append(Row(figure, measured, f"{ratio:.1f}x", bar, met))
    return rows


def _jax_absent(device: str) -> str:
    """Return why JAX cannot be compared with; nothing where it can."""
    if JAX.missing:
        return f"no {', '.join(JAX.missing)}"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    found = jax.default_backend()
    wanted = "gpu" if device == "cuda" else "cpu"
    return "" if found == wanted else f"JAX has no {wanted} here (pip install 'jax[cuda13]')"


class _StepClock(StepHook):
    """Times the later of a run's steps, with the work of the GPU in it."""

    def __init__(self, device: str, before: int) -> None:
        self._device, self._before, self._began = device, before, 0.0
        self.seconds, self.steps = 0.0, 0

    def after_step(self, state: TrainingState) -> None:
        """Look at the clock when the first steps, and all of them, are done."""
        last = state.step == state.plan.total_steps
        if state.step == self._before or last:
            _wait(self._device)
            now = time.perf_counter()
            self.seconds, self.steps = now - self._began, state.step - self._before
            self._began = now


def step_rows(scale: Scale, model: str, precision: str = "32") -> list[Row]:
    """Time whole training steps: batch, loss, backward, clipping, Adam and the average."""
    side, batch = scale.image
    before, timed = scale.steps
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "noise.npz"
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (4 * batch, side, side), dtype=np.uint8)
        np.savez(data, train_images=pixels, train_labels=np.arange(4 * batch) % 10)
        settings = {
            "model.name": model,
            "data.dataset": str(data),
            "training.batch_size": batch,
            "training.device": scale.device,
            "training.precision": precision,
            "training.max_steps": before + timed,
            "training.epochs": before + timed,
        }
        session = build_session(load_config(overrides=settings))
    clock = _StepClock(scale.device, before)
    plugins = Bf16(scale.device) if precision == "bf16" else None
    fabric = Fabric(accelerator=scale.device, devices=1, plugins=plugins)
    with session.backend, tf32(precision == "tf32"):
        fit(fabric, session.state, session.batches(session.dataset), (clock,), clip=1.0)
    step = clock.seconds / clock.steps
    figure = f"training step, {model}, {side}x{side}, batch {batch}, precision {precision}"
    measured = f"{duration(step)}; {_launches(_one_more(session, scale.device), scale.device)}"
    if model != PAPER.models[0] or precision != "32":
        return [Row(figure, measured)]
    total = BAR_STEPS * step
    bar = f"{BAR_STEPS:,} steps in {duration(BAR_S)}"
    return [
        Row(figure, f"{measured}; {BAR_STEPS:,} steps {duration(total)}", "", bar, total <= BAR_S)
    ]


def _one_more(session: Any, device: str) -> Callable[[], None]:
    """Return a function that does a step on one batch again and again."""
    state, place = session.state, torch.device(device)
    images, ids = (each.to(place) for each in _batch(session))

    def step() -> None:
        state.module(images, ids, 0).backward()
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.ema.step(state.model, 0)

    return step


def _batch(session: Any) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = range(session.state.plan.batch_size)
    pairs = [session.dataset[index] for index in chosen]
    return torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _seconds(run: Callable[[], Any], scale: Scale, least: float = 0.2) -> float:
    """Return the median time of a call, of rounds that take `least` seconds each."""
    for _ in range(4):  # Compiles kernels and records graphs.
        run()
    _wait(scale.device)
    begin = time.perf_counter()
    run()
    _wait(scale.device)
    calls = 1 if scale is SMALL else max(1, round(least / (time.perf_counter() - begin)))
    times = []
    for _ in range(scale.rounds):
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        _wait(scale.device)
        times.append((time.perf_counter() - begin) / calls)
    return float(np.median(times))


def _launches(run: Callable[[], Any], device: str) -> str:
    """Return how often a call launches something on the GPU, copies to it and waits for it."""
    if device != "cuda":
        return "launches are counted on a GPU"
    for _ in range(3):
        run()
    _wait(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        run()
    counts = {event.key: event.count for event in profiler.key_averages()}

    def total(*parts: str) -> int:
        return sum(n for key, n in counts.items() if any(part in key for part in parts))

    launches = total("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")
    # The profiler itself waits for the device when it stops.
    waits = total("cudaStreamSynchronize", "cudaEventSynchronize")
    return f"{launches} launches, {total('cudaMemcpyAsync')} copies, {waits} waits"
