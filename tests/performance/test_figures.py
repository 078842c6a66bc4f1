"""The command's tables, small: that they hold what they say, not how long it took."""

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qhybrid.models.attention import LinearAttention
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits.ansatz import hqconv
from tests.performance import __main__ as command
from tests.performance import figures, ideas, processes, where
from tests.performance.cases import case, circuits
from tests.performance.contenders import PEERS
from tests.performance.figures import SMALL, Row
from tests.performance.floor import count, describe, measure_floor
from tests.performance.launches import count as count_launches
from tests.performance.peers import environments
from tests.performance.peers.elsewhere import prepare_elsewhere
from tests.performance.report import OtherWork, figures_table, machine
from tests.performance.smi import summary
from tests.performance.timing import duration, interleaved
from tests.performance.training import as_in_textbooks, by_operations, take_turns, training_step
from tests.selection import thorough


def steps_here(variants: Mapping[str, Sequence[str]], rounds: int = 5) -> dict[str, float]:
    """Do in this process what `take_turns` does in several."""
    runs = {}
    for name, (model, batch, size, *options) in variants.items():
        runs[name] = training_step(model, int(batch), int(size), options)
    return interleaved(runs, 1)


def ask_here(name: str, *arguments: str) -> Any:
    """Do in this process what `ask` does in a fresh one."""
    return {"first-call": processes.first_call, "memory": processes.memory}[name](*arguments)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "take_turns", steps_here)
    monkeypatch.setattr(ideas, "take_turns", steps_here)
    monkeypatch.setattr(figures, "ask", ask_here)


def check(rows: Sequence[Row]) -> None:
    for row in rows:
        numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,.]*", row.measured)]
        assert numbers, row
        assert not re.search(r"nan|inf\b", row.measured + row.ratio), row
        if row.ratio:
            assert float(re.findall(r"[\d,.]+", row.ratio)[0].replace(",", "")) >= 0


@pytest.mark.parametrize(
    "section", ["stock", "steps", "limits", "agreement", *thorough(["models"])]
)
def test_a_section_measures_each_of_its_figures(section: str) -> None:
    rows = figures.SECTIONS[section](SMALL)
    assert len(rows) == {"stock": 3, "steps": 4, "models": 3, "limits": 4, "agreement": 4}[section]
    assert all((row.met is None) == (not row.bar) for row in rows)
    assert any(row.bar for row in rows)
    assert section != "agreement" or all(row.met for row in rows)
    check(rows)


def test_peers_that_are_absent_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.performance.contenders.find_spec", lambda module: None)
    monkeypatch.setattr("tests.performance.contenders.interpreter", lambda name: Path("absent"))
    rows = figures.circuit_rows(SMALL)
    assert len(rows) == len(PEERS) + 2
    for row, peer in zip(rows, PEERS, strict=False):
        packages = peer.modules if peer.environment is None else (f".peers/{peer.environment}",)
        assert row.measured == f"skipped: {', '.join(packages)} absent"
        assert row.met is None


def test_a_peer_runs_in_an_environment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer here is numpy alone: the pipes, the files and the ends of processes are tested."""
    python = tmp_path / "echo" / "bin" / "python"
    python.parent.mkdir(parents=True)
    # A symbolic link would find the packages with Python 3.11 alone.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "with_echo.py").write_text(
        "def prepare(num_qubits, gates, outputs, inputs, weights, cotangent):\n"
        "    if len(weights) == 99: raise ValueError('too many')\n"
        "    return lambda: (cotangent + len(gates), 2 * inputs, weights + num_qubits)\n"
    )
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    whole = case(circuits(small=True)["HQConv"], 3)
    values, by_inputs, by_weights = prepare_elsewhere("echo")(whole)()
    gates = len(whole.variational.circuit.data)
    np.testing.assert_allclose(values, whole.cotangent + gates, rtol=1e-6)
    np.testing.assert_allclose(by_inputs, 2 * whole.inputs)
    np.testing.assert_allclose(by_weights, whole.weights + whole.variational.num_qubits)
    with pytest.raises(RuntimeError, match="too many"):
        prepare_elsewhere("echo")(replace(whole, weights=np.zeros(99, np.float32)))


def test_the_command_prints_tables_with_date_and_machine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command.main(["--small", "agreement", "floor", "call-ideas"])
    printed = capsys.readouterr().out
    assert "`python -m tests.performance --small agreement floor call-ideas`, 20" in printed
    assert printed.startswith("| figure | measured | ratio | bar | met |\n| --- |")
    assert "| idea | with | without | gain |" in printed
    assert "forward sweep" in printed
    assert f"torch {torch.__version__.split('+')[0]}" in printed
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", printed)


def test_the_command_puts_its_tables_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- floor -->\nold\n<!-- /floor -->\nafter\n")
    command.main(["--small", "floor", "--write", str(page)])
    written = page.read_text()
    assert written.startswith("before\n<!-- floor -->\n- forward sweep")
    assert written.endswith("\n<!-- /floor -->\nafter\n")
    assert "old" not in written


def test_the_page_takes_no_half_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["agreement", "--write", str(tmp_path / "page.md")])
    assert "--write needs all of a table's sections: circuits, stock," in capsys.readouterr().err


def test_the_command_names_a_section_that_does_not_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["circuit"])
    assert stopped.value.code == 2
    assert "no section circuit; there are circuits, stock," in capsys.readouterr().err


@pytest.mark.thorough
def test_the_gpu_script_can_be_rehearsed_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.performance.contenders.find_spec", lambda module: None)
    command.main(["--small", "gpu", "--out", str(tmp_path)])
    found = json.loads((tmp_path / "gpu.json").read_text())
    met = [row["met"] for row in found["rows"] if "from the CPU" in row["figure"]]
    assert met == [True] * 12
    assert not [row for row in found["rows"] if row["measured"].startswith(("failed", "skipped"))]
    assert "absent: no pennylane, jax" in found["rows"][-1]["measured"]
    assert (tmp_path / "gpu.md").read_text().startswith("| figure | measured |")


def test_a_gpu_is_asked_for_less_by_kernels_and_least_by_graphs() -> None:
    ways = {"kernels": False, "graphs": False}, {"kernels": True, "graphs": False}
    operations, kernels, graphs = (
        count_launches(2, **way) for way in (*ways, {"kernels": True, "graphs": True})
    )
    assert operations.launches > kernels.launches > 100 > graphs.launches > 0
    assert operations.bytes > 5 * kernels.bytes > 0
    assert [operations.copies, kernels.copies, graphs.copies] == [0, 0, 0]


def test_the_gpu_script_needs_a_gpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        command.main(["gpu"])
    assert stopped.value.code == 2
    assert "rehearse it with --small on the CPU" in capsys.readouterr().err


def test_the_largest_figures_of_nvidia_smi_are_told() -> None:
    seen = [["H100", "97", "1000", "310.5", "1980", "55"], ["H100", "9", "2000", "[N/A]", "1", "5"]]
    assert summary(seen).startswith("H100: at most 97% busy, 2000 MiB, 31")
    assert "absent" in summary([])


def test_every_idea_can_be_switched_off_without_changing_results() -> None:
    gains = [*ideas.engine_gains(SMALL), *ideas.step_gains(SMALL)]
    assert len(gains) == 16
    assert all(gain.with_s > 0 and gain.without_s > 0 for gain in gains)


def test_switching_the_merging_of_gates_off_leaves_a_block_a_gate() -> None:
    from qhybrid_runtime.engine.fusion import plan_sparse_blocks
    from qhybrid_runtime.engine.program import compile_program

    program = compile_program(hqconv())
    assert len(ideas.block_per_gate(program, range(12)).blocks) == 84
    assert len(plan_sparse_blocks(program, range(12)).blocks) == 42


def test_the_floor_counts_a_circuit_that_can_be_counted_by_hand() -> None:
    # One layer on 4 qubits: a ring of four controlled 2x2 matrices, each on a pair of amplitudes
    # for each value of the other qubits. The first two qubits are one register, then three, ...
    forward, backward = count(hqconv(channels=1, layers=1))
    pairs = 1 + 2 + 4 + 4
    joined = 4 + 8 + 16
    measured = 16 * (3 + 2 * 4)
    assert forward.flops == 28 * pairs + 6 * joined + measured
    assert backward.flops == 88 * pairs + 16 * joined + measured


def test_the_floor_is_described_in_finite_numbers() -> None:
    floor = measure_floor(hqconv(channels=1, layers=1), SMALL.batch, rounds=1)
    assert 0 < floor.arithmetic_s < 1
    assert 0 < floor.traffic_s < 1
    assert not re.search(r"nan|inf\b", describe(floor))


def test_the_parts_of_an_evaluation_are_timed_without_changing_it() -> None:
    sweeps = where.Sweeps.of(hqconv(channels=1, layers=1))
    before = sweeps.state.copy(), sweeps.costate.copy(), sweeps.task.matrix.copy()
    for run in sweeps.pieces().values():
        run()
    after = sweeps.state, sweeps.costate, sweeps.task.matrix
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    lines = where.engine_lines(hqconv(channels=1, layers=1), 4, rounds=1)
    assert [name for name, _, _ in lines[:6]] == [
        "gate matrices from angles",
        "forward sweep",
        "expectation values",
        "co-state from the cotangent",
        "backward sweep",
        "gradients by angles",
    ]


def test_the_parts_of_a_step_are_told_and_counted() -> None:
    lines = where.step_lines(2, 16, steps=1)
    assert {name for name, _ in where.PARTS} <= {name for name, _, _ in lines}
    numbers: list[int] = []
    network = build_model(ModelSpec("unet", image_size=16))
    for module in network.modules():
        if isinstance(module, LinearAttention):
            module.register_forward_hook(lambda _, inputs, __: numbers.append(inputs[0].numel()))
    network(torch.zeros(2, 1, 16, 16), torch.zeros(2, dtype=torch.long))
    # q, k, and the products of both with C numbers at N positions, and twice as much on the way
    # back; the rest are small products that do not grow with the positions.
    products = 3 * 4 * 2 * 128 * sum(numbers)
    assert 1 < where.step_flops(2, 16)["linear attention"] / products < 1.3
    assert where.activation_bytes(2, 16) > 4 * 5 * sum(numbers)


def test_each_form_of_a_unet_is_the_same_function() -> None:
    generator = torch.Generator().manual_seed(0)
    network = build_model(ModelSpec("unet", image_size=16), generator=generator)
    images = torch.randn(2, 1, 16, 16, generator=generator)
    times = torch.tensor([3, 700])
    ours = network(images, times)
    with by_operations():
        torch.testing.assert_close(network(images, times), ours, rtol=0, atol=2e-5)
        theirs = as_in_textbooks(network)(images, times)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=2e-5)


@pytest.mark.thorough
def test_processes_answer() -> None:
    assert take_turns({"unet": ("unet", "2", "8", "keep-memory", "textbook")}, 2)["unet"] > 0
    times = processes.ask("first-call", "1", "1", "4")
    assert times["first_s"] > times["later_s"] > 0


def test_interleaved_calls_take_turns_and_the_first_round_is_not_counted() -> None:
    order: list[str] = []

    def slow() -> None:
        order.append("a")
        time.sleep(0.06)

    times = interleaved({"a": slow, "b": lambda: order.append("b")}, 3)
    assert order == [*"aabb", *(["a", *"bbbbb"] * 3)]
    assert times["a"] >= 0.06 > times["b"]


def test_a_verdict_stands_in_the_table() -> None:
    table = figures_table([Row("a", "1 s", "2x", "3x", False), Row("b", "2 s")])
    assert table.splitlines()[2:] == ["| a | 1 s | 2x | 3x | **no** |", "| b | 2 s |  |  |  |"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3661.4, "3,661 s"), (1.25, "1.25 s"), (0.0076, "7.6 ms"), (6.1e-5, "61 µs"), (2e-9, "2 ns")],
)
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_machine_is_described() -> None:
    others = OtherWork()
    time.sleep(0.05)
    share = others.share()
    assert share is None or 0 <= share <= 1
    assert re.search(r"\d+ cores, \d+ GiB", machine(others))
