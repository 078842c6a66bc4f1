"""The search through all frames, in docs/, against the beam search of the lowering."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from qhybrid_circuits.lowering.frames.pauli_frames import (
    FrameProblem,
    find_frames,
    own_operators,
)
from tests.circuits.lowering.frames.rings import ring

STAR = ((0, 1), (0, 2))


@pytest.fixture(scope="module")
def bound() -> ModuleType:
    path = Path(__file__).parents[4] / "docs" / "bound_frames.py"
    spec = importlib.util.spec_from_file_location("bound_frames", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_frame_is_a_clifford_gate_up_to_gates_on_one_qubit(bound: ModuleType) -> None:
    # |Sp(6, 2)| = 1,451,520, of which 6 on each of three qubits; two leaves are alike.
    assert len(bound.Frames(3, STAR).planes) == 1_451_520 // 6**3 // 2


@pytest.mark.parametrize(
    ("steps", "fractional", "gates"), [(3, False, 7), (3, True, 5), (6, False, 13), (6, True, 9)]
)
def test_the_beam_search_finds_the_fewest_gates(
    bound: ModuleType, steps: int, fractional: bool, gates: int
) -> None:
    problem = FrameProblem(3, STAR, ring(steps, size=3), own_operators(3), 0, fractional)
    plan = find_frames(problem)
    assert plan is not None
    assert len(plan.moves) == gates
    frames = bound.Frames(3, STAR)
    rotations = bound.rotations(problem.events, problem.predecessors(), frames.every)
    assert bound.Search(frames, rotations, fractional).fewest(20) == gates
