import subprocess
import sys

import numpy as np
import pytest
from device_circuits import ring
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import SparsePauliOp, random_unitary

from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.fingerprint import circuit_text, fingerprint, observables_text


def test_the_boundary_between_parts_counts() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc") != fingerprint("abc")


def test_a_circuit_has_the_same_text_in_every_process() -> None:
    script = (
        "from qhybrid_circuits.ansatz import hqconv;"
        "from qhybrid_runtime.hardware.fingerprint import *;"
        "print(fingerprint(circuit_text(hqconv().circuit)))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for _ in range(2)
    }
    assert len(hashes) == 1


def changed(what: str) -> QuantumCircuit:
    circuit = ring().circuit.copy()
    inner = QuantumCircuit(1)
    inner.rx(0.5 if what == "definition" else 0.25, 0)
    circuit.append(inner.to_gate(label="inner"), [0])
    circuit.data[-1].operation.name = "inner"
    circuit.append(UnitaryGate(random_unitary(2, seed=2 if what == "matrix" else 1)), [1])
    circuit.rz(0.1 + (1e-15 if what == "angle" else 0), 2)
    circuit.cx(0, 1, ctrl_state=0 if what == "control" else 1)
    circuit.cx(1 if what == "qubit" else 0, 2)
    return circuit


@pytest.mark.parametrize("what", ["definition", "matrix", "angle", "control", "qubit"])
def test_whatever_a_circuit_does_is_in_its_text(what: str) -> None:
    assert circuit_text(changed("nothing")) == circuit_text(changed("nothing"))
    assert circuit_text(changed(what)) != circuit_text(changed("nothing"))


def test_observables_differ_by_coefficients_and_order() -> None:
    z, x = SparsePauliOp("ZI"), SparsePauliOp("XI", np.array([0.5]))
    assert observables_text([z, x]) != observables_text([x, z])
    assert observables_text([z]) != observables_text([2 * z])


def test_settings_in_keys_are_spelled_as_in_old_records() -> None:
    assert PrimitiveSettings(64, "sampler", twirling=True).text == (
        "PrimitiveSettings(primitive='sampler', shots=64, resilience_level=1, twirling=True, "
        "dynamical_decoupling=False)"
    )
