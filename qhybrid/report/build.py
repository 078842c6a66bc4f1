"""From a request to a report: every figure, gathered or remembered."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qhybrid.influence import InfluenceRecord, read_influence
from qhybrid.report.circuits import SEED, SubjectCircuits
from qhybrid.report.devices import ALL, Device, find_devices
from qhybrid.report.figures import device_report, health_report
from qhybrid.report.request import ReportRequest, check_request
from qhybrid.report.sampling_cost import sampling_cost, step_counts
from qhybrid.report.stored import subject_circuits
from qhybrid.report.subject import Subject
from qhybrid.run_folder import Run
from qhybrid.version import __version__
from qhybrid_circuits.disk_cache import use_cache
from qhybrid_circuits.errors import CircuitError
from qhybrid_circuits.plugins import load_reference

#: Called with what is being worked on.
Progress = Callable[[str], None]


_NO_INFLUENCE: dict[str, Any] = {"influence": None, "influence_measured_on": None}


@dataclass(frozen=True, eq=False)
class Report:
    """A report and what its page is drawn from.

    Attributes:
        content: Every figure, as values that JSON has; docs/reports.md says what is in it.
        circuits: The subject's circuits.
        devices: The targets, in the order they were asked for.
        run: The run that is reported, if it is one.
    """

    content: dict[str, Any]
    circuits: SubjectCircuits
    devices: tuple[Device, ...]
    run: Run | None = None

    def _repr_html_(self) -> str:
        """Return the page for a notebook, in a frame that keeps its style to itself."""
        page = html.escape(load_reference("qhybrid.report.page:page")(self))
        return f'<iframe srcdoc="{page}" width="100%" height="700" style="border: 0"></iframe>'


def build_report(request: ReportRequest, progress: Progress | None = None) -> Report:
    """Gather all figures of a subject on its targets.

    Raises:
        UnknownNameError: There is no such subject, setting, target or sampler.
        RequestError: A number is not allowed, a target is too small, or an account or run cannot
            be used.
        CircuitError: A circuit does not fit a target.
    """
    tell = progress or (lambda _: None)
    subject, plan = check_request(request)
    record = None if subject.run is None else read_influence(subject.run)
    tell(subject.name)
    circuits = subject_circuits(subject, use_cache(True))
    qubits = max((use.variational.num_qubits for use in circuits.uses), default=0)
    devices = find_devices(request.targets, qubits, request.fractional)
    reports, skipped = _circuit_reports(circuits, devices, request, tell)
    model = {
        **step_counts(circuits),
        "health": circuits.health if request.health else None,
        **(_influence(subject, circuits, record) if request.health else _NO_INFLUENCE),
        "sampling": None,
    }
    if circuits.rounds and billed(subject):
        model["sampling"] = sampling_cost(circuits, plan, _layers(circuits, reports))
    content = {
        "qhybrid": __version__,
        "subject": {
            "kind": subject.kind,
            "name": subject.name,
            "model": None if subject.spec is None else subject.spec.name,
            "settings": dict(subject.settings),
            "parameters": circuits.parameters,
            "weights": "trained" if subject.run else f"random, seed {SEED}",
        },
        "model": None if circuits.rounds is None else model,
        "reports": reports,
        "skipped": skipped,
    }
    return Report(content, circuits, tuple(devices), subject.run)


def billed(subject: Subject) -> bool:
    """Return whether a QPU could draw from a model, so that there is a bill."""
    return subject.spec is None or not subject.spec.row.process.exact


def _influence(
    subject: Subject, circuits: SubjectCircuits, record: InfluenceRecord | None
) -> dict[str, Any]:
    """Return a run's own figures; those of a model that is not trained are of its first weights."""
    if record is not None:
        return {"influence": record.influence, "influence_measured_on": record.measured_on}
    if subject.run is not None or circuits.influence is None:
        return _NO_INFLUENCE
    where = f"noise, with the random weights of seed {SEED}"
    return {"influence": circuits.influence, "influence_measured_on": where}


def _circuit_reports(
    circuits: SubjectCircuits, devices: Sequence[Device], request: ReportRequest, tell: Progress
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return a report a circuit and device, and the devices that were left out of a ranking."""
    ranks = ALL in request.targets
    reports, skipped = [], []
    for use, name in zip(circuits.uses, circuit_names(circuits), strict=True):
        found = []
        for number, device in enumerate(devices or [None]):
            if device is not None:
                tell(f"{name} on {device.name} ({number + 1} of {len(devices)})")
            try:
                found.append(device_report(use, device, request.fractional))
            except CircuitError as error:
                if not ranks or device is None:
                    raise
                skipped.append({"target": device.name, "reason": str(error)})
        if ranks:
            found.sort(key=_rank)
        shared = {"circuit": name, "circuits": use.circuits, "health": None}
        if request.health:
            tell(f"health of {name}")
            shared["health"] = health_report(use)
        reports += [{**each, **shared} for each in found]
    return reports, skipped


def circuit_names(circuits: SubjectCircuits) -> list[str]:
    """Return the circuits' names, numbered where two structures have the same one."""
    names = [use.variational.name for use in circuits.uses]
    return [
        f"{name}-{names[: index + 1].count(name)}" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]


def _layers(circuits: SubjectCircuits, reports: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the gate layers of each structure of circuits, on the target where it has most."""
    names = circuit_names(circuits)
    return [max((r["depth"] for r in reports if r["circuit"] == n), default=1) for n in names]


def _rank(report: Mapping[str, Any]) -> tuple[float, int]:
    """Return what a ranking sorts by: success, best first and unknown last, then gates."""
    success = report["success_probability"]
    return (1.0 if success is None else -success, report["two_qubit_gates"])
