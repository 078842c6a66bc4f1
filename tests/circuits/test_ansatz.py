import math
import os
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid_circuits import CircuitError, RequestError, UnknownNameError, VariationalCircuit
from qhybrid_circuits.ansatz import (
    ANSATZE,
    ansatz_builder,
    basic_entangling,
    build_ansatz,
    fqconv,
    hqconv,
)


def gates(variational: VariationalCircuit, skip: int) -> list[tuple[str, tuple[int, ...]]]:
    circuit = variational.circuit
    return [
        (item.operation.name, tuple(circuit.find_bit(bit).index for bit in item.qubits))
        for item in circuit.data[skip:]
    ]


@pytest.mark.parametrize(
    ("variational", "qubits", "weights"),
    [
        (hqconv(), 12, 84),
        (hqconv(channels=1, layers=2), 4, 16),
        (hqconv(channels=2, layers=1), 8, 18),
        (hqconv(variant="released"), 12, 84),
        (fqconv(), 12, 72),
        (fqconv(channels=1, layers=1), 4, 8),
        (fqconv(channels=4, layers=2), 16, 64),
        (basic_entangling(), 4, 16),
        (basic_entangling(qubits=2, layers=3), 2, 6),
    ],
    ids=repr,
)
def test_counts(variational: VariationalCircuit, qubits: int, weights: int) -> None:
    assert variational.num_qubits == variational.num_inputs == variational.num_outputs == qubits
    assert variational.num_weights == weights


def test_hqconv_layer_is_the_papers() -> None:
    ring = [(0, 3), (3, 2), (2, 1), (1, 0)]  # (control, target) within a channel
    pairs = [(4 * c + a, 4 * c + b) for c in (2, 1, 0) for a, b in ring] + [(4, 8), (0, 4)]
    expected = [(name, pair) for pair in pairs for name in ("crz", "crx")]
    assert gates(hqconv(layers=1), skip=12) == expected
    assert gates(hqconv(layers=3), skip=12) == expected * 3


def test_fqconv_layer_is_the_papers() -> None:
    expected = [
        (name, ((base + 4 + i) % 12, base + i))
        for base in (8, 4, 0)
        for name in ("crz", "crx")
        for i in (3, 2, 1, 0)
    ]
    assert gates(fqconv(layers=1), skip=12) == expected


def test_basic_entangling_layer_is_pennylanes() -> None:
    expected = [("rx", (q,)) for q in range(4)]
    expected += [("cx", pair) for pair in [(0, 1), (1, 2), (2, 3), (3, 0)]]
    assert gates(basic_entangling(layers=1), skip=4) == expected


def test_released_hqconv_keeps_only_the_gates_between_channels() -> None:
    released = hqconv(variant="released")
    layer = [("crz", (4, 8)), ("crx", (4, 8)), ("crz", (0, 4)), ("crx", (0, 4))]
    assert gates(released, skip=12) == layer * 3
    used = [i for i, w in enumerate(released.weights) if released.circuit.has_parameter(w)]
    assert used == [28 * layer + i for layer in range(3) for i in range(4)]


@pytest.mark.parametrize("build", [hqconv, fqconv])
def test_a_weight_of_one_is_a_full_turn(build, rng) -> None:
    # Two full turns of a controlled rotation are the identity, one is a sign of the control.
    variational = build(channels=1, layers=1)
    weights = rng.random(variational.num_weights)
    values = rng.normal(size=variational.num_inputs)
    inputs = dict(zip(variational.inputs, values, strict=True))
    one = variational.bind_weights(weights).assign_parameters(inputs)
    two = variational.bind_weights(weights + 2).assign_parameters(inputs)
    assert Statevector(one).equiv(Statevector(two))


def test_encoding_turns_about_x(rng) -> None:
    variational = hqconv(channels=1, layers=1)
    values = rng.normal(size=4)
    bound = variational.bind_weights(np.zeros(8)).assign_parameters(
        dict(zip(variational.inputs, values, strict=True))
    )
    state = Statevector(bound)
    measured = [state.expectation_value(o).real for o in variational.observables]
    np.testing.assert_allclose(measured, np.cos(values), atol=1e-12)


def test_outputs_are_z_of_each_qubit_in_order() -> None:
    expected = ["".join("Z" if q == i else "I" for q in reversed(range(4))) for i in range(4)]
    observables = basic_entangling().observables
    assert list(observables) == [SparsePauliOp(label) for label in expected]


def test_weights_are_used_in_order() -> None:
    variational = fqconv(layers=2)
    used = [
        next(iter(item.operation.params[0].parameters)) for item in variational.circuit.data[12:]
    ]
    assert used == list(variational.weights)
    slopes = {
        item.operation.params[0].gradient(w)
        for item, w in zip(variational.circuit.data[12:], used, strict=True)
    }
    assert slopes == {2 * math.pi}
    assert all(a.index < b.index for a, b in pairwise(variational.weights))


@pytest.mark.parametrize("name", ANSATZE)
def test_every_registered_ansatz_builds(name: str) -> None:
    assert build_ansatz(name).name == name


def test_numpy_numbers_count() -> None:
    assert hqconv(channels=np.int64(2), layers=np.int32(1)).num_weights == 18


def test_unknown_names_cross_process_borders() -> None:
    error = UnknownNameError("ansatz", "hqcon", ANSATZE, "see the README")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.known == tuple(ANSATZE)


def test_unknown_ansatz_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown ansatz 'hqcon'; did you mean hqconv"):
        build_ansatz("hqcon")


LADDER = """
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qhybrid_circuits import VariationalCircuit

def ladder(*, qubits=2, **more):
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(qubits)
    circuit.rx(x, 0)
    circuit.crz(w, 0, 1)
    return VariationalCircuit("ladder", circuit, (x,), (w,), (SparsePauliOp("Z" * qubits),))

def bare():
    return QuantumCircuit(2)

number = 3
"""


def test_an_ansatz_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_ladders.py").write_text(LADDER)
    monkeypatch.chdir(tmp_path)
    assert build_ansatz("my_ladders:ladder").num_qubits == 2
    assert build_ansatz("my_ladders:ladder", qubits=3, extra=1).num_qubits == 3
    assert ansatz_builder("my_ladders:ladder") is sys.modules["my_ladders"].ladder
    with pytest.raises(CircuitError, match="must return a VariationalCircuit, but returns a Quan"):
        build_ansatz("my_ladders:bare")
    with pytest.raises(RequestError, match=r"must be a function .* but is of type int"):
        build_ansatz("my_ladders:number")
    with pytest.raises(RequestError, match="cannot be loaded: AttributeError"):
        build_ansatz("my_ladders:rung")


def test_an_ansatz_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_ladders.py").write_text(LADDER)
    info = tmp_path / "their_ladders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their_ladders\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[qhybrid.ansatze]\nrungs = their_ladders:ladder\n")
    program = (
        "from qhybrid_circuits import ANSATZE, build_ansatz; "
        "from qhybrid_circuits.ansatz_registry import REGISTRY; "
        "print('rungs' in REGISTRY, 'rungs' in ANSATZE, build_ansatz('rungs', qubits=3))"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("True False VariationalCircuit('ladder', 3 qubits")


def test_names_of_ansaetze_need_no_qiskit() -> None:
    program = "import sys; from qhybrid_circuits import ANSATZE; sys.exit('qiskit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hqconv(channels=0), "`channels` .* at least 1, but is 0"),
        (lambda: hqconv(layers=1.5), "`layers` .* at least 1, but is 1.5"),
        (lambda: hqconv(variant="published"), "'paper' or 'released', but is 'published'"),
        (lambda: fqconv(channels=True), "`channels` .* but is True"),
        (lambda: fqconv(variant="x"), "'paper' or 'released'"),
        (lambda: basic_entangling(qubits=1), "`qubits` .* at least 2, but is 1"),
        (
            lambda: build_ansatz("fqconv", qubits=4),
            "takes channels, layers, variant, topology, but .* qubits",
        ),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        call()
