"""What each idea brings: the engine, or a training step, with the idea and without it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch

from qhybrid_circuits.ansatz import hqconv
from qhybrid_runtime.engine import fusion
from qhybrid_runtime.engine.cpu import executor, layout, plan
from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.expectations import (
    Batch,
    Executor,
    executor_for,
    expectations,
    round_expectations,
)
from qhybrid_runtime.engine.fusion import Plan, block_of, light_cone, split_starts
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.patterns import Kind, Part, Pattern
from qhybrid_runtime.engine.program import Operation, Program, compile_program
from tests.performance.cases import Case, case, circuits
from tests.performance.contenders import ENGINE, Run, disagreement, prepare_engine
from tests.performance.figures import SAME, Sizes
from tests.performance.timing import interleaved
from tests.performance.training import take_turns
from tests.threads import torch_threads

#: Circuits that stand side by side at a full vertex.
SIDE_BY_SIDE = 13

#: Of two circuits of different structure.
LAYERS = (3, 2)


@dataclass(frozen=True)
class Gain:
    """Seconds with an idea, and without it; `idea` says what "without" is."""

    idea: str
    with_s: float
    without_s: float


def block_per_gate(program: Program, support: Collection[int]) -> Plan:
    """Plan one block a gate."""
    starts, rest = split_starts(light_cone(program.operations, support), program.num_qubits)
    return Plan(program.num_qubits, starts, tuple(block_of([op]) for op in rest))


def no_start_states(
    operations: list[Operation], num_qubits: int, _: Collection[int] = ()
) -> tuple[tuple[tuple[Operation, ...], ...], list[Operation]]:
    """Leave the encoding among the gates that are swept."""
    return ((),) * num_qubits, operations


def one_register(plan: Plan) -> list[Any]:
    """Let every block act on the register of all qubits."""
    everything = frozenset(range(plan.num_qubits))
    return [layout._Placed(block, i, everything) for i, block in enumerate(plan.blocks)]


def one_part(pattern: Pattern) -> tuple[Part, ...]:
    """Let a matrix be a single part, whatever is zero in it."""
    rows = tuple(range(len(pattern.idle)))
    return (Part(Kind.PAIR if len(rows) == 2 else Kind.DENSE, rows),)


def engine_gains(sizes: Sizes) -> list[Gain]:
    """Switch the executor's ideas off, one at a time, for HQConv."""
    full = case(circuits(sizes.small)["HQConv"], sizes.batch)
    runs = {"": ENGINE.prepare(full)}
    for idea, switch in _switches().items():
        runs[idea] = _planned(full, switch)
    runs["compiled kernels; without: torch operations (the torch executor)"] = _on_device(full)
    for idea, run in runs.items():
        if (difference := disagreement(run, runs[""])) > SAME:
            raise RuntimeError(f"without an idea ({idea}) results differ by {difference}")
    runs["final states kept for the way back; without: computed anew"] = _not_kept(full)
    runs["samples on all cores; without: one thread"] = _single_threaded(full)
    runs["single precision; without: double"] = prepare_engine(full, torch.float64)
    times = interleaved(runs, sizes.rounds)
    return [Gain(idea, times[""], times[idea]) for idea in runs if idea]


def _switches() -> dict[str, Any]:
    """Return what switches an idea off while a program is planned."""
    cached = layout.CACHED_QUBITS
    return {
        "CRZ and CRX of a pair as one matrix; without: a block a gate": patch.object(
            plan, "plan_sparse_blocks", block_per_gate
        ),
        "registers joined when a gate needs it; without: at the start": patch.object(
            layout, "_place", one_register
        ),
        "the encoding as a product state; without: gates like the others": patch.object(
            fusion, "split_starts", no_start_states
        ),
        **{
            f"gates grouped on {cached} qubits in the cache; without: on {size}": patch.object(
                layout, "CACHED_QUBITS", size
            )
            for size in (3, 4, 6, 8, 10, 12)
            if size != cached
        },
    }


def sparse_gain(sizes: Sizes) -> Gain:
    """Measure what the zeros of gate matrices are worth where gates are of many kinds."""
    whole = case(circuits(sizes.small)["random circuit"], sizes.batch)
    switch = patch.object(Pattern, "parts", property(one_part))
    times = interleaved(
        {"with": ENGINE.prepare(whole), "without": _planned(whole, switch)}, sizes.rounds
    )
    idea = "zeros in gate matrices left out (random circuit); without: dense matrices"
    return Gain(idea, times["with"], times["without"])


def light_cone_gain(sizes: Sizes) -> Gain:
    """Measure one output of FQConv, whose other channels it does not depend on at all."""
    variational = circuits(sizes.small)["FQConv"]
    one = replace(variational, observables=variational.observables[:1])
    whole = case(one, sizes.batch)
    switch = patch.object(fusion, "light_cone", lambda operations, support: list(operations))
    times = interleaved(
        {"with": ENGINE.prepare(whole), "without": _planned(whole, switch)}, sizes.rounds
    )
    idea = "gates outside the light cone dropped (FQConv, one output); without: all gates"
    return Gain(idea, times["with"], times["without"])


def side_by_side_gain(sizes: Sizes) -> Gain:
    """Evaluate the circuits of a full vertex in one call, and in a call each."""
    one = case(circuits(sizes.small)["HQConv"], sizes.batch)
    program = compile_program(one.variational)
    inputs = torch.tensor(one.inputs).repeat(SIDE_BY_SIDE, 1, 1).requires_grad_()
    weights = torch.tensor(one.weights).repeat(SIDE_BY_SIDE, 1).requires_grad_()
    observables = ObservableSet(one.variational.observables, program.num_qubits)

    def together() -> None:
        torch.autograd.grad(
            expectations(program, observables, inputs, weights).sum(), (inputs, weights)
        )

    def apart() -> None:
        rows = zip(inputs.unbind(0), weights.unbind(0), strict=True)
        values = [expectations(program, observables, x, w) for x, w in rows]
        torch.autograd.grad(torch.stack(values).sum(), (inputs, weights))

    times = interleaved({"together": together, "apart": apart}, sizes.rounds)
    idea = f"{SIDE_BY_SIDE} circuits of one structure in one call; without: a call each"
    return Gain(idea, times["together"], times["apart"])


def structures_gain(sizes: Sizes) -> Gain:
    """Evaluate circuits of two structures, a vector of samples each, at once and in turn."""
    batches = []
    for layers in LAYERS:
        one = case(hqconv(channels=1 if sizes.small else 3, layers=layers), LANES)
        program = compile_program(one.variational)
        observables = ObservableSet(one.variational.observables, program.num_qubits)
        given = (torch.tensor(each).requires_grad_() for each in (one.inputs, one.weights))
        batches.append(Batch(program, observables, *given))
    leaves = [leaf for batch in batches for leaf in (batch.inputs, batch.weights)]

    def together() -> None:
        torch.autograd.grad(torch.cat(round_expectations(batches), 1).sum(), leaves)

    def apart() -> None:
        values = [expectations(*batch) for batch in batches]
        torch.autograd.grad(torch.cat(values, 1).sum(), leaves)

    times = interleaved({"together": together, "apart": apart}, sizes.rounds)
    idea = (
        f"HQConv of {LAYERS[0]} and of {LAYERS[1]} layers, {LANES} samples each, at the same time; "
        "without: in turn"
    )
    return Gain(idea, times["together"], times["apart"])


def step_gains(sizes: Sizes) -> list[Gain]:
    """Switch off what makes the U-Net's own step quick."""
    size, batch = sizes.image
    shape = ("unet", str(batch), str(size))
    times = take_turns(
        {
            "all": (*shape, "keep-memory"),
            "no allocator": shape,
            "operations": (*shape, "keep-memory", "operations"),
            "textbook": (*shape, "keep-memory", "textbook"),
            "bf16": (*shape, "keep-memory", "bf16"),
        },
        sizes.rounds,
    )
    step = f"unet step, batch {batch}, {size}x{size}"
    return [
        Gain(
            f"{step}: freed memory is kept; without: glibc's default",
            times["all"],
            times["no allocator"],
        ),
        Gain(
            f"{step}: linear attention by compiled kernels; without: torch operations",
            times["all"],
            times["operations"],
        ),
        Gain(
            f"{step}: the same by torch operations, reassociated; without: the textbook form",
            times["operations"],
            times["textbook"],
        ),
        Gain(f"{step}: bfloat16 autocast; without: float32", times["bf16"], times["all"]),
    ]


def _planned(full: Case, switch: Any) -> Run:
    """Return the engine, planned while an idea is switched off."""
    run = ENGINE.prepare(full)
    with switch:
        run()
    return run


def _on_device(full: Case) -> Run:
    """Return what a GPU would run, on the CPU."""
    run = ENGINE.prepare(full)

    def on_device() -> tuple[Any, Any, Any]:
        def choice(program: Program, _: str, support: frozenset[int]) -> Executor:
            return executor_for(program, "device", support)

        with patch("qhybrid_runtime.engine.expectations.executor_for", choice):
            return run()

    return on_device


def _not_kept(full: Case) -> Run:
    run = ENGINE.prepare(full)

    def anew() -> tuple[Any, Any, Any]:
        with patch.object(executor, "KEPT_BYTES", 0):
            return run()

    return anew


def _single_threaded(full: Case) -> Run:
    run = ENGINE.prepare(full)

    def single() -> tuple[Any, Any, Any]:
        with torch_threads(1):
            return run()

    return single
