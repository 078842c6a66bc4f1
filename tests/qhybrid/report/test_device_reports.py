"""Reports on targets: which are ranked, and what an account's devices bring."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from service_double import ServiceDouble

from qhybrid.report.build import Report, build_report
from qhybrid.report.render import render
from qhybrid.report.request import ReportRequest
from qhybrid_circuits import RequestError
from qhybrid_runtime.hardware.targets import fake_target, uniform_target


def test_all_ranks_the_devices_that_fit_and_says_what_was_left_out(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"fake_lima", "fake_belem", "fake_nighthawk", "fake_cairo", "fake_armonk"}
    from qhybrid.report import devices

    kept = {name: s for name, s in devices.snapshots().items() if name in names}
    monkeypatch.setattr(devices, "snapshots", lambda: kept)
    told: list[str] = []
    request = ReportRequest("basic_entangling", ("all",), health=False)
    content = build_report(request, told.append).content
    found = [each["target"] for each in content["reports"]]
    assert set(found) == names - {"fake_armonk"}
    success = [each["success_probability"] for each in content["reports"]]
    assert success == sorted(success, reverse=True)
    assert "basic_entangling on fake_lima (3 of 4)" in "\n".join(told) or len(told) > 4
    # Parts of this calibration do not work: no 12 connected qubits are left.
    wide = build_report(ReportRequest("hqconv", ("all",), health=False)).content
    assert [each["target"] for each in wide["skipped"]] == ["fake_cairo"]
    assert "connects 12 qubits" in wide["skipped"][0]["reason"]


def test_an_accounts_device_brings_its_own_calibration(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qhybrid_runtime.hardware import accounts

    live = SimpleNamespace(name="ibm_double", target=fake_target("fake_lima"))
    service = ServiceDouble()
    service.device = live
    monkeypatch.setattr(accounts, "open_service", lambda: service)
    for name in ("ibm_double", "ibm"):
        request = ReportRequest("basic_entangling", (name,), health=False)
        (report,) = build_report(request).content["reports"]
        assert report["target"] == "ibm_double"
        assert report["success_probability"] is not None
    assert service.loaded == ["ibm_double"]
    with pytest.raises(RequestError, match="no device 'ibm_doubel'; it offers ibm_double"):
        build_report(ReportRequest("basic_entangling", ("ibm_doubel",)))
    with pytest.raises(RequestError, match=r"ibm_double.* 5 qubits.* 12"):
        build_report(ReportRequest("hqconv", ("ibm_double",)))


def test_a_live_device_without_calibration_has_unknown_figures(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qiskit.transpiler import InstructionProperties

    from qhybrid_circuits import restricted_target
    from qhybrid_runtime.hardware import accounts

    bare = restricted_target(uniform_target(6), range(6))
    for name in bare.operation_names:
        for place in bare[name]:
            bare.update_instruction_properties(name, place, InstructionProperties())
    live = SimpleNamespace(name="ibm_bare", target=bare)
    service = ServiceDouble()
    service.device = live
    monkeypatch.setattr(accounts, "open_service", lambda: service)
    found = build_report(ReportRequest("basic_entangling", ("ibm_bare",), health=False))
    (report,) = found.content["reports"]
    assert report["success_probability"] is report["duration_us"] is None

    for output_format in ("table", "md", "html"):
        assert "not known" in render(found, output_format)


def test_released_ansatz(released_report: Report) -> None:
    (report,) = released_report.content["reports"]
    assert report["health"]["dead_weights"] == 48
    assert report["topologies"] == []


def test_an_ansatz_of_native_pairs_is_compared_with_no_others(cache: Path) -> None:
    request = ReportRequest("reupload", ("fake_fez",), health=False, settings={"qubits": 4})
    (report,) = build_report(request).content["reports"]
    assert report["topologies"] == []


def test_a_target_of_the_bounds(model_report: Report) -> None:
    """12 qubits, 3 layers, native to the square lattice."""
    nighthawk = model_report.content["reports"][0]
    assert nighthawk["two_qubit_gates"] <= 84
    assert nighthawk["two_qubit_depth"] <= 36
    assert nighthawk["stock"]["swaps"] == 0
