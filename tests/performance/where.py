"""Where the time goes: in an evaluation of the engine, and in a training step of the U-Net."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from qhybrid.models.attention import LinearAttention
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.engine.cpu import sweeps, workspace
from qhybrid_runtime.engine.cpu.executor import CpuExecutor
from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.cpu.layout import JOIN, ApplyStep
from qhybrid_runtime.engine.cpu.measure import measure_precisely, start_costate
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import compile_program
from tests.performance.cases import case
from tests.performance.contenders import ENGINE
from tests.performance.floor import count, matrix_product
from tests.performance.timing import duration, interleaved
from tests.performance.training import training_step

Lines = list[tuple[str, str, str]]

#: Parts of a training step, and what the names of their operations hold.
PARTS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("linear attention", ("Summaries", "Distributed", "Standardized")),
    ("convolutions", ("conv", "Convolution")),
    ("group normalization and SiLU", ("group_norm", "Activated", "silu")),
    ("optimizer", ("Optimizer", "_foreach", "_fused_adam")),
)
WAYS = ("forward", "backward")
REST = "element-wise operations, copies, small products"


@dataclass(frozen=True)
class Sweeps:
    """One task of the engine, `LANES` samples of one circuit, whose parts can be timed.

    Each function leaves the task as it found it, so that it can be called again.
    """

    call: workspace.Call
    task: workspace.Task
    scratch: workspace.Scratch
    state: np.ndarray
    costate: np.ndarray

    @classmethod
    def of(cls, variational: VariationalCircuit) -> "Sweeps":
        """Prepare a task, and evolve its state."""
        program, one = compile_program(variational), case(variational, LANES)
        executor = CpuExecutor(program, range(program.num_qubits))
        observables = ObservableSet(variational.observables, program.num_qubits)
        angles = program.angles(torch.tensor(one.inputs)[None], torch.tensor(one.weights)[None])
        codes = torch.zeros(0, 1, LANES, dtype=torch.uint8)
        call = executor.prepare(observables, codes, *angles)
        task = workspace.new_task(call.recipe, call.numbers)
        workspace.prepare(call.recipe, call.numbers, 0, 0, task)
        scratch = workspace.new_scratch(call.layout.group_size, call.numbers.cos)
        (state,) = executor.final_states(observables, codes, *angles)
        return cls(call, task, scratch, state, state.copy())

    def sweep(self, *, back: bool, moves: bool, gates: bool) -> None:
        """Go through all steps, or do without moving amplitudes, or without gates."""
        layout, state, costate = self.call.layout, self.state.copy(), self.costate.copy()
        if not gates:
            steps = layout.steps.copy()
            begin, end = (ApplyStep._fields.index(name) for name in ("first_gate", "end_gate"))
            steps[:, end] = steps[:, begin]
            layout = layout._replace(steps=steps)
        overlap = np.zeros_like(self.task.matrix)
        for number in range(len(layout.steps)):
            if layout.steps[number][0] == JOIN and not moves:
                continue
            end = sweeps.num_parts(layout, number) if moves else 0
            if back:
                arguments = (layout, number, self.task, state, costate, overlap, self.scratch)
                sweeps.backward_step(*arguments, 0, end)
            else:
                sweeps.forward_step(layout, number, self.task, state, self.scratch, 0, end)

    def pieces(self) -> dict[str, Callable[[], object]]:
        """Return what is timed, by name."""
        layout, recipe, observed, numbers = self.call
        amplitudes, count = len(observed.diagonal), observed.diagonal.shape[1]
        values = np.ones(count * LANES, self.state.dtype)
        room, costate = np.empty_like(values), self.costate.copy()
        overlap = np.ones_like(self.task.matrix)
        by_shared = np.empty((2 * len(numbers.shared_cos), 1, 1), values.dtype)
        by_differing = np.empty((2 * len(numbers.cos), 1, LANES), values.dtype)
        ends = (0, amplitudes)
        found: dict[str, Callable[[], object]] = {
            "prepare": partial(workspace.prepare, recipe, numbers, 0, 0, self.task),
            "measure": partial(
                measure_precisely, self.state, layout.final, observed, values.copy(), room, *ends
            ),
            "costate": partial(
                start_costate, self.state, layout.final, observed, values, costate, *ends
            ),
            "give back": partial(
                workspace.give_back, recipe, self.task, overlap, 0, 0, by_shared, by_differing
            ),
        }
        for way in WAYS:
            back = way == "backward"
            found[way] = partial(self.sweep, back=back, moves=True, gates=True)
            found[f"{way}, no gates"] = partial(self.sweep, back=back, moves=True, gates=False)
            found[f"{way}, nothing"] = partial(self.sweep, back=back, moves=False, gates=False)
        return found


def engine_lines(variational: VariationalCircuit, batch: int, rounds: int = 5) -> Lines:
    """Return where an evaluation's time goes: parts, times, and the rate of the gates.

    The parts are those of a task on one thread, without the calls from Python; the last lines are
    the batch's, on all threads.
    """
    whole: Callable[[], object] = ENGINE.prepare(case(variational, batch))
    times = interleaved({**Sweeps.of(variational).pieces(), "whole": whole}, rounds)
    forward, backward = (LANES * sweep.flops for sweep in count(variational))
    parts = [
        ("gate matrices from angles", times["prepare"], 0),
        ("forward sweep", times["forward"] - times["forward, nothing"], forward),
        ("expectation values", times["measure"], 0),
        ("co-state from the cotangent", times["costate"], 0),
        ("backward sweep", times["backward"] - times["backward, nothing"], backward),
        ("gradients by angles", times["give back"], 0),
    ]
    moved = sum(times[f"{way}, no gates"] - times[f"{way}, nothing"] for way in WAYS)
    tasks, threads = -(-batch // LANES), torch.get_num_threads()
    total = sum(time_s for _, time_s, _ in parts)
    shared = total * -(-tasks // threads)
    return [
        *((name, duration(time_s), _rate(flops, time_s)) for name, time_s, flops in parts),
        (f"together, {LANES} samples on one thread", duration(total), ""),
        ("both sweeps without gates: amplitudes copied, registers joined", duration(moved), ""),
        (f"batch {batch} on {threads} threads, if that were all", duration(shared), ""),
        (f"batch {batch}, measured, with checks and torch", duration(times["whole"]), ""),
    ]


def step_lines(batch: int, size: int, steps: int = 3) -> Lines:
    """Return where a training step of the U-Net goes, and its floor."""
    step = training_step("unet", batch, size)
    for _ in range(steps):
        step()
    begin = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(steps):
            step()
    whole = (time.perf_counter() - begin) / steps
    spent: dict[str, float] = defaultdict(float)
    for event in seen.key_averages():
        names = (part for part, holds in PARTS if any(word in event.key for word in holds))
        spent[next(names, REST)] += event.self_cpu_time_total * 1e-6 / steps
    flops = step_flops(batch, size)
    lines = [
        (part, duration(spent[part]), _rate(flops.get(part), spent[part]))
        for part in sorted(spent, key=lambda part: -spent[part])
    ]
    left = max(whole - sum(spent.values()), 0.0)
    total = sum(flops.values())
    flops_of_product, product = matrix_product()
    rate = flops_of_product / interleaved({"product": product})["product"]
    copies = _copy_rate()
    moved = activation_bytes(batch, size)
    return [
        *lines,
        ("Python between operations", duration(left), ""),
        ("the step", duration(whole), _rate(total, whole)),
        (
            f"floor: {total / 1e9:.1f} GFLOP as a matrix product",
            duration(total / rate),
            _rate(rate),
        ),
        (
            f"floor: {moved / 1e9:.2f} GB of activations as copies",
            duration(moved / copies),
            f"{copies / 1e9:.0f} GB/s",
        ),
    ]


def step_flops(batch: int, size: int) -> dict[str, int]:
    """Return the arithmetic of a step, forward and back, by parts, as torch's operations do it."""
    step = training_step("unet", batch, size, ("operations",))
    with FlopCounterMode(display=False) as counter:
        step()
    found = {str(name): count for name, count in counter.get_flop_counts()["Global"].items()}
    convolutions = sum(count for name, count in found.items() if "conv" in name)
    return {
        "convolutions": convolutions,
        "linear attention": sum(found.values()) - convolutions,
    }


def activation_bytes(batch: int, size: int) -> int:
    """Return what a step reads and writes if nothing between convolutions is ever stored.

    A convolution, with the normalization and activation that follow it, reads and writes its
    activations once on the way forth; on the way back it reads its input and its output's gradient
    and writes its input's. So does a block of attention.
    """
    network, numbers = build_model(ModelSpec("unet", image_size=size)), 0

    def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal numbers
        numbers += 3 * inputs[0].numel() + 2 * output.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | LinearAttention):
            module.register_forward_hook(add)
    with torch.no_grad():
        network(torch.zeros(1, 1, size, size), torch.zeros(1, dtype=torch.long))
    return 4 * batch * numbers


def _copy_rate(numbers: int = 1 << 24) -> float:
    """Return bytes/s, read and written, of copying what fits no cache."""
    source, target = torch.ones(2, numbers)
    return 8 * numbers / interleaved({"copy": lambda: target.copy_(source)})["copy"]


def _rate(flops: float | None, time_s: float = 1.0) -> str:
    return f"{flops / time_s / 1e9:.0f} GFLOP/s" if flops and time_s else ""
