"""Any Qiskit BackendV2 as a backend, by name, against Qiskit's own states."""

from pathlib import Path

import numpy as np
import pytest
from device_circuits import ideal_values, pub_of, ring
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import RGate, RXXGate, RZGate
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import Target

from qhybrid_circuits import RequestError
from qhybrid_circuits.errors import DeviceJobError
from qhybrid_circuits.lowering.lower import lower
from qhybrid_runtime import get_backend
from qhybrid_runtime.backends.registry import BACKENDS, check_backend_name

pytestmark = pytest.mark.filterwarnings("ignore:Qiskit backend:UserWarning")

LAB = """
from qiskit.providers import BackendV2
from qiskit.providers.fake_provider import GenericBackendV2


def ion_trap():
    return GenericBackendV2(4, basis_gates=["rz", "sx", "x", "cx"], noise_info=False, seed=1)


def broken():
    backend = ion_trap()
    backend.run = None
    return backend


class FarAway(BackendV2):
    target = property(lambda self: ion_trap().target)
    max_circuits = 1

    def run(self, *circuits, **options): ...

    @classmethod
    def _default_options(cls): ...


def far_away():
    return FarAway()


def circuit():
    return "a circuit"


def away():
    raise OSError("no cable")
"""


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_lab.py").write_text(LAB)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_lab", raising=False)


@pytest.mark.parametrize("options", [{}, {"primitive": "sampler"}])
def test_values_are_those_of_the_circuits(options: dict, tmp_path: Path, rng) -> None:
    circuit, inputs, weights = ring(3), rng.normal(size=(2, 3)), rng.normal(size=3)
    backend = get_backend(
        "backend:my_lab:ion_trap", shots=8192, ledger=tmp_path / "jobs", **options
    )
    result = backend.estimator().run([pub_of(circuit, inputs, weights)]).result()[0]
    expected = ideal_values(circuit, inputs, weights)
    np.testing.assert_allclose(result.data.evs, expected, atol=0.06)
    assert (np.asarray(result.data.stds) < 0.02).all()
    # On record: the same round in another process is not run again.
    again = get_backend("backend:my_lab:ion_trap", shots=8192, ledger=tmp_path / "jobs", **options)
    values = again.estimator().run([pub_of(circuit, inputs, weights)]).result()[0].data.evs
    np.testing.assert_array_equal(values, result.data.evs)


def test_what_cannot_be_had_is_one_line() -> None:
    for name, message in (
        ("backend:my_lab", "must be backend:MODULE:FUNCTION"),
        ("backend:my_lab:circuit", "returned a str, but must return a Qiskit BackendV2"),
        ("backend:my_lab:away", "cannot be made: OSError: no cable"),
        ("backend:my_lab:nothing", "'my_lab:nothing' cannot be loaded: AttributeError"),
    ):
        with pytest.raises(RequestError, match=message):
            get_backend(name)
    with pytest.raises(RequestError, match="does not take the options mode"):
        get_backend("backend:my_lab:ion_trap", mode="session")
    backend = get_backend("backend:my_lab:broken", shots=16)
    with pytest.raises(DeviceJobError, match="all results so far are kept"):
        backend.estimator().run([pub_of(ring(2), np.ones((1, 2)), np.ones(2))]).result()
    # What qhybrid does not know may have a price; nothing is paid for simulators of Qiskit.
    assert get_backend("backend:my_lab:ion_trap").qpu.described.endswith("nothing is paid)")
    paid = get_backend("backend:my_lab:far_away").qpu
    assert (paid.simulated, paid.costs(7)) == (False, "about 7 s by IBM's rule")
    assert check_backend_name("backend:a.b:c").runs_jobs
    assert all(BACKENDS[name] is not None for name in BACKENDS)


def test_ions_that_are_all_coupled_are_lowered_for(rng) -> None:
    """A target like those of ion traps: gates on any pair, of another kind than cz."""
    target, angles = Target(num_qubits=5), [Parameter(name) for name in "abc"]
    for gate in (RZGate(angles[0]), RGate(*angles[:2]), RXXGate(angles[2]), Measure()):
        target.add_instruction(gate)
    circuit, inputs, weights = ring(3), rng.normal(size=(1, 3)), rng.normal(size=3)
    bound = circuit.circuit.assign_parameters(
        dict(zip(circuit.inputs, inputs[0], strict=True))
        | dict(zip(circuit.weights, weights, strict=True))
    )
    lowered = lower(bound, target, cache=False)
    assert set(lowered.circuit.count_ops()) <= {"rz", "r", "rxx"}
    state = Statevector(lowered.circuit)
    for qubit, expected in enumerate(ideal_values(circuit, inputs, weights)[:, 0]):
        z = SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], 3)
        value = state.expectation_value(lowered.apply_layout(z)).real
        assert value == pytest.approx(expected, abs=1e-8)
