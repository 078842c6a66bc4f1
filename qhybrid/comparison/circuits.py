"""What the circuits of runs are worth and cost, by what `qhybrid report` finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qhybrid.influence import read_influence
from qhybrid.run_folder import Run

if TYPE_CHECKING:
    from qhybrid.report.circuits import SubjectCircuits


@dataclass(frozen=True)
class RunCircuits:
    """The parameters and circuits of a run.

    Attributes:
        parameters: That training changes.
        weights: Of the circuits.
        dead: Of them, those without effect on the model's output.
        influence: By how much the trained model's output changes when its circuits, or its twin's
            layers in their places, say their mean, `Influence.mean.output`; None where there are
            none, or the run is of a version that did not measure it.
    """

    parameters: int
    weights: int
    dead: int
    influence: float | None


def run_circuits(run: Run) -> RunCircuits:
    """Return what is known of a run's circuits, which is remembered.

    Raises:
        RequestError: The run's model, or its influence.json, cannot be used.
    """
    found, record = _subject_circuits(run), read_influence(run)
    influence = None if record is None else record.influence["mean"]["output"]
    health = found.health or {"weights": 0, "dead_weights": 0}
    return RunCircuits(found.parameters or 0, health["weights"], health["dead_weights"], influence)


def qpu_costs(run: Run, targets: Sequence[str]) -> list[dict[str, Any]]:
    """Return what drawing an image from a run costs on each target; nothing without circuits.

    Raises:
        RequestError: A target is not known, or an account cannot be used.
        CircuitError: A circuit does not fit a target.
    """
    from qhybrid.report.devices import find_devices
    from qhybrid.report.figures import resources
    from qhybrid.report.request import ReportRequest, check_request
    from qhybrid.report.sampling_cost import sampling_cost

    _, plan = check_request(ReportRequest(str(run.folder.absolute()), tuple(targets)))
    circuits = _subject_circuits(run)
    if not circuits.rounds:
        return []
    qubits = max(use.variational.num_qubits for use in circuits.uses)
    costs = []
    for device in find_devices(targets, qubits, fractional=False):
        found = [resources(use, device, compare=False) for use in circuits.uses]
        least = _least([each["success_probability"] for each in found])
        sampling = sampling_cost(circuits, plan, [each["depth"] for each in found])
        shared = {key: sampling[key] for key in ("qpu_seconds_per_image", "steps", "shots")}
        costs.append({"target": device.name, **shared, "success_probability": least})
    return costs


def _subject_circuits(run: Run) -> "SubjectCircuits":
    from qhybrid.report.stored import subject_circuits
    from qhybrid.report.subject import find_subject
    from qhybrid_circuits.disk_cache import use_cache

    return subject_circuits(find_subject(str(run.folder.absolute())), use_cache(True))


def _least(values: Sequence[float | None]) -> float | None:
    """Return the lowest value, None where one is not known."""
    known = [value for value in values if value is not None]
    return min(known) if len(known) == len(values) else None
