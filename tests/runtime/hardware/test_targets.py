import subprocess
import sys

import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import average_gate_fidelity
from qiskit_aer.noise import depolarizing_error

from qhybrid_circuits import RequestError, UnknownNameError
from qhybrid_runtime.hardware.targets import fake_target, uniform_target


def test_one_device_is_loaded_alone_and_once() -> None:
    script = """
import qiskit_ibm_runtime.fake_provider.fake_backend as library
made = []
first = library.FakeBackendV2.__init__
library.FakeBackendV2.__init__ = lambda self: (made.append(type(self).__name__), first(self))[1]
from qhybrid_runtime.hardware.targets import fake_target
assert fake_target("fake_manila") is fake_target("fake_manila")
print(*made)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["FakeManilaV2"]


def test_unknown_devices_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean fake_manila"):
        fake_target("fake_manilla")


def test_devices_that_warn_do_so_in_the_listing_only(recwarn: pytest.WarningsRecorder) -> None:
    assert fake_target("fake_nighthawk").num_qubits == 120
    assert not recwarn.list


def test_a_uniform_device_couples_all() -> None:
    target = uniform_target(4, depolarizing=0.01, readout=0.02)
    pair, single = (
        1 - average_gate_fidelity(depolarizing_error(parameter, width).to_quantumchannel())
        for parameter, width in ((0.01, 2), (0.001, 1))
    )
    assert target["cz"][3, 0].error == pytest.approx(pair)
    assert target["sx"][2,].error == pytest.approx(single)
    assert target["measure"][1,].error == 0.02
    circuit = QuantumCircuit(4)
    for qubit in range(3):
        circuit.cx(qubit, 3)
    assert transpile(circuit, target=target).count_ops()["cz"] == 3


def test_a_uniform_device_needs_sensible_numbers() -> None:
    with pytest.raises(RequestError, match=r"`readout` must be from 0 to 0\.5, but is 0\.7"):
        uniform_target(2, readout=0.7)
    with pytest.raises(RequestError, match="at least 1, but is 0"):
        uniform_target(0)
