import pytest
from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2

from qhybrid_runtime.hardware.snapshot_table import TABLE, table_text
from qhybrid_runtime.hardware.snapshots import large_enough, snapshots
from qhybrid_runtime.hardware.targets import fake_target


def test_the_table_is_that_of_the_installed_library() -> None:
    # Else: python -m qhybrid_runtime.hardware.snapshot_table
    assert TABLE.read_text(encoding="utf-8") == table_text()


@pytest.mark.filterwarnings("ignore:Properties of fake_nighthawk:UserWarning")
def test_the_names_are_those_of_the_library() -> None:
    provider = FakeProviderForBackendV2()
    assert set(snapshots()) == {backend.name for backend in provider.backends()}


def test_fake_qpus_that_are_large_enough_are_named() -> None:
    first, *larger = large_enough(16).split(", ")
    assert first == "fake_guadalupe (16)"
    assert larger
    for each in larger:
        name, _, count = each.partition(" (")
        assert fake_target(name).num_qubits == int(count.rstrip(")")) >= 16
    assert large_enough(1000) == ""


def test_figures_are_those_of_the_target() -> None:
    for name, entangling in (("fake_fez", "cz"), ("fake_manila", "cx")):
        target, snapshot = fake_target(name), snapshots()[name]
        errors = sorted(
            properties.error
            for properties in target[entangling].values()
            if properties.error is not None and properties.error < 0.5
        )
        median = (errors[(len(errors) - 1) // 2] + errors[len(errors) // 2]) / 2
        assert snapshot.qubits == target.num_qubits
        assert snapshot.two_qubit_gate == entangling
        assert snapshot.two_qubit_error is not None
        assert abs(snapshot.two_qubit_error - median) < 1e-6
