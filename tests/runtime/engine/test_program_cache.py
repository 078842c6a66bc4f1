import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qhybrid_runtime.engine import program_cache
from qhybrid_runtime.engine.observables import ObservableSets
from qhybrid_runtime.engine.program_cache import ProgramCache


def test_programs_are_compiled_once_and_the_oldest_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[int] = []
    real = program_cache.compile_program
    monkeypatch.setattr(
        program_cache,
        "compile_program",
        lambda circuit, inputs: compiled.append(circuit.num_qubits) or real(circuit, inputs),
    )
    one, two, three = (QuantumCircuit(n) for n in (1, 2, 3))
    cache = ProgramCache(kept=2)
    for circuit in (one, two, one, three, one, two):
        assert cache.get(circuit, ()).num_qubits == circuit.num_qubits
    assert compiled == [1, 2, 3, 2]  # two was the oldest when three came


def test_inputs_are_part_of_what_is_looked_up() -> None:
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(x, 0)
    cache = ProgramCache()
    assert cache.get(circuit, [x]).num_inputs == 1
    assert cache.get(circuit, []).num_inputs == 0


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_may_look_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_cache, "compile_program", lambda circuit, inputs: circuit)
    cache = ProgramCache(kept=1)
    circuits = [QuantumCircuit(1) for _ in range(8)]

    def look_up(start: int) -> bool:
        chosen = [circuits[(start + step) % len(circuits)] for step in range(3000)]
        return all(cache.get(circuit, ()) is circuit for circuit in chosen)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look_up, range(4)))


def test_equal_observables_are_one_set_and_large_ones_are_not_kept() -> None:
    sets = ObservableSets()
    first = sets.get([SparsePauliOp("ZI"), SparsePauliOp("XY", 0.5)], 2)
    assert sets.get([SparsePauliOp("ZI"), SparsePauliOp("XY", 0.5)], 2) is first
    for other in (
        [SparsePauliOp("ZI"), SparsePauliOp("XY", 0.6)],
        [SparsePauliOp("XY", 0.5), SparsePauliOp("ZI")],
        [SparsePauliOp("ZI"), SparsePauliOp("XX", 0.5)],
    ):
        assert sets.get(other, 2) is not first
    # Twelve diagonals of 12 qubits are less than a MiB, one of 17 qubits is twice as much.
    twelve = [SparsePauliOp("I" * k + "Z" + "I" * (11 - k)) for k in range(12)]
    assert sets.get(twelve, 12) is sets.get(twelve, 12)
    assert sets.get([SparsePauliOp("Z" * 17)], 17) is not sets.get([SparsePauliOp("Z" * 17)], 17)
