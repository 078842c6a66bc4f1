"""Circuits of Qiskit's library take no more two-qubit gates than by Qiskit's own passes."""

from collections.abc import Callable

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import efficient_su2, real_amplitudes
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Statevector, random_pauli_list
from qiskit.transpiler import CouplingMap, Target, generate_preset_pass_manager

from qhybrid_circuits import UnknownNameError, lower, pass_manager, resource_report
from qhybrid_circuits.disk_cache import LoweringCache
from qhybrid_circuits.lowering import preset


@pytest.mark.parametrize(
    "circuit",
    [
        efficient_su2(8, reps=2, entanglement="circular"),
        real_amplitudes(8, reps=1, entanglement="full"),
    ],
    ids=["efficient_su2", "real_amplitudes"],
)
def test_no_more_gates_than_the_best_of_twelve_seeds(
    circuit: QuantumCircuit, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = GenericBackendV2(
        19, ["cz", "rz", "sx", "x"], coupling_map=CouplingMap.from_heavy_hex(3), seed=1
    )
    store = LoweringCache(None)
    bound = circuit.assign_parameters(rng.uniform(-3, 3, circuit.num_parameters))
    lowered = lower(bound, device.target, cache=store)
    managers = (generate_preset_pass_manager(3, device, seed_transpiler=k) for k in range(12))
    theirs = min(manager.run(bound).num_nonlocal_gates() for manager in managers)
    assert lowered.circuit.num_nonlocal_gates() <= theirs
    small, final = lowered.compact()
    words = random_pauli_list(8, 5, seed=1, phase=False)
    for word in words:
        there = Statevector(small).expectation_value(word.apply_layout(final, small.num_qubits))
        assert there == pytest.approx(Statevector(bound).expectation_value(word), abs=1e-10)

    # Other angles: at most one run of Qiskit's passes.
    runs = []
    usual = preset.generate_preset_pass_manager

    def counted(*args: object, **options: object) -> object:
        runs.append(options["seed_transpiler"])
        return usual(*args, **options)

    monkeypatch.setattr(preset, "generate_preset_pass_manager", counted)
    other = circuit.assign_parameters(rng.uniform(-3, 3, circuit.num_parameters))
    assert lower(other, device.target, cache=store).circuit.num_nonlocal_gates() <= theirs
    assert len(runs) <= 1


def test_a_ring_of_eight_goes_around_a_cell_of_the_lattice(
    fake_target: Callable[[str], Target], rng: np.random.Generator
) -> None:
    circuit = efficient_su2(8, entanglement="circular")
    bound = circuit.assign_parameters(rng.uniform(-3, 3, circuit.num_parameters))
    target = fake_target("FakeBrisbane")
    managers = (generate_preset_pass_manager(3, target=target, seed_transpiler=k) for k in range(3))
    theirs = min(manager.run(bound).num_nonlocal_gates() for manager in managers)
    assert lower(bound, target, cache=False).circuit.num_nonlocal_gates() < theirs


@pytest.mark.thorough
def test_the_fewest_gates_are_taken_whatever_the_success_where_they_are_preferred(
    fake_target: Callable[[str], Target], rng: np.random.Generator
) -> None:
    """A chain of 16 on 16 qubits, for which pytket 2.18 takes 65 gates, Qiskit's level 3 66."""
    circuit = efficient_su2(16)
    bound = circuit.assign_parameters(rng.uniform(-3, 3, circuit.num_parameters))
    target, store = fake_target("FakeGuadalupeV2"), LoweringCache(None)
    best = lower(bound, target, cache=store)
    fewest = lower(bound, target, prefer="gates", cache=store)
    gates = fewest.circuit.num_nonlocal_gates()
    assert gates <= 65
    assert gates < best.circuit.num_nonlocal_gates()
    assert fewest.success_probability is not None
    assert best.success_probability is not None
    assert fewest.success_probability < 0.96 * best.success_probability
    passed = pass_manager(target, prefer="gates", cache=store).run(bound)
    assert passed.num_nonlocal_gates() == gates
    report = resource_report(bound, target, prefer="gates", compare=False, cache=store)
    assert report.two_qubit_gates == gates
    with pytest.raises(UnknownNameError, match=r"unknown preference 'gate'; did you mean gates\?"):
        lower(bound, target, prefer="gate")  # type: ignore[arg-type]
