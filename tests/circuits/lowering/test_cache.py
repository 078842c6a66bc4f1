import os
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Operator
from qiskit.transpiler import CouplingMap, Target

from qhybrid_circuits import disk_cache as caches
from qhybrid_circuits import lower
from qhybrid_circuits.ansatz import hqconv
from qhybrid_circuits.directories import cache_directory
from qhybrid_circuits.disk_cache import LoweringCache, use_cache
from qhybrid_circuits.lowering import planner


@pytest.fixture
def target() -> Target:
    grid = CouplingMap.from_grid(3, 3)
    return GenericBackendV2(9, ["cz", "rz", "sx", "x"], coupling_map=grid, seed=5).target


def weights(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(8)


def test_memory_answers_with_the_same_circuit(target: Target) -> None:
    store, variational = LoweringCache(None), hqconv(channels=1, layers=1)
    first = lower(variational, target, weights=weights(), cache=store)
    assert lower(variational, target, weights=weights(), cache=store) is first
    assert lower(variational, target, weights=weights(1), cache=store) is not first
    assert lower(variational, target, weights=weights(), fractional=True, cache=store).fractional


def test_disk_answers_in_a_new_process(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variational = hqconv(channels=1, layers=1)
    first = lower(variational, target, weights=weights(), cache=LoweringCache(tmp_path))
    monkeypatch.setattr(planner, "make_plan", None)  # nothing may be planned again
    monkeypatch.setattr(planner, "find_routings", None)
    # Parameters of a circuit built anew have other identities.
    rebuilt = hqconv(channels=1, layers=1)
    store = LoweringCache(tmp_path)
    second = lower(rebuilt, target, weights=weights(), cache=store)
    assert second.final_layout == first.final_layout
    assert second.success_probability == first.success_probability
    assert second.swaps == first.swaps == 0
    assert set(second.circuit.parameters) == set(rebuilt.inputs)
    values = np.linspace(0, 1, 4)
    assert Operator(first.compact()[0].assign_parameters(values)).equiv(
        second.compact()[0].assign_parameters(values)
    )
    # New weights of a known structure need no new plan either.
    lower(rebuilt, target, weights=weights(1), cache=store)
    assert not list(tmp_path.glob(".part-*"))


@pytest.mark.parametrize("content", [b"", b"{}\nnot qpy", b"\xff\xfe", b"[1]\n", b"null"])
def test_damaged_files_are_made_anew(target: Target, tmp_path: Path, content: bytes) -> None:
    variational = hqconv(channels=1, layers=1)
    first = lower(variational, target, weights=weights(), cache=LoweringCache(tmp_path))
    for path in tmp_path.iterdir():
        path.write_bytes(content)
    again = lower(variational, target, weights=weights(), cache=LoweringCache(tmp_path))
    assert again.circuit == first.circuit


def test_a_cache_that_cannot_be_written_is_no_error(target: Target, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    lower(hqconv(channels=1, layers=1), target, weights=weights(), cache=blocked / "below")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QHYBRID_CACHE_DIR", str(tmp_path))
    assert cache_directory("lowering") == tmp_path / "lowering"
    assert use_cache(True) is use_cache(tmp_path / "lowering")
    monkeypatch.delenv("QHYBRID_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_directory("lowering") == tmp_path / "user" / "qhybrid" / "lowering"


def test_other_calibration_is_another_content(target: Target, tmp_path: Path) -> None:
    content = caches.target_content(target)
    target["cz"][(0, 1)].error = 0.3
    assert caches.target_content(target) != content


def test_the_content_of_a_circuit_tells_angles_and_controls() -> None:
    def content(angle: float, state: int) -> str:
        circuit = QuantumCircuit(2)
        circuit.cx(0, 1, ctrl_state=state)
        circuit.rx(angle, 0)
        return caches.content_key(caches.circuit_content(circuit))

    assert content(0.1, 1) == content(0.1, 1)
    assert len({content(0.1, 1), content(0.1, 0), content(0.1 + 1e-15, 1)}) == 3


def test_the_content_of_a_circuit_tells_what_own_gates_are() -> None:
    def content(angle: float) -> str:
        own = QuantumCircuit(1, name="own")
        own.rx(angle, 0)
        circuit = QuantumCircuit(1)
        circuit.append(own.to_gate(), [0])
        return caches.content_key(caches.circuit_content(circuit))

    assert content(0.1) == content(0.1) != content(0.2)


def test_old_files_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "_MOST_FILES", 10)
    for index in range(30):
        path = tmp_path / f"{index}.json"
        path.write_text("1")
        os.utime(path, (index, index))
    LoweringCache(tmp_path).write("new.json", b"2")
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 5
    assert {"new.json", "29.json"} <= left


def test_results_of_other_versions_are_missed(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower(hqconv(channels=1, layers=1), target, weights=weights(), cache=LoweringCache(tmp_path))
    before = {path.name for path in tmp_path.iterdir()}
    real = caches.version
    for package in ("qiskit", "qhybrid"):
        monkeypatch.setattr(
            caches, "version", lambda name, other=package: "9" if name == other else real(name)
        )
        caches.made_by.cache_clear()
        again = LoweringCache(tmp_path)
        lower(hqconv(channels=1, layers=1), target, weights=weights(), cache=again)
        after = {path.name for path in tmp_path.iterdir()}
        # A circuit, its plan, its routings, and whether Qiskit's passes do better.
        assert len(after) == len(before) + 4
        before = after
        monkeypatch.undo()
    caches.made_by.cache_clear()
