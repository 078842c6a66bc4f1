"""The runs of a reproduction: their settings, their folders, and the commands that do the same."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qhybrid.data.catalog import DATASETS
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.files import InFolder
from qhybrid.reproduction.experiment import Experiment, Scale
from qhybrid.reproduction.request import ReproductionRequest
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import Values, flatten, merge_values, parse_config, read_values
from qhybrid_circuits.errors import RequestError


@dataclass(frozen=True)
class Point:
    """A moment of a run whose weights are kept, and whose images are compared.

    Attributes:
        folder: Holds the weights as a run does, so that `qhybrid sample` and `evaluate` take it.
        epoch: Epochs of the paper that are done, those of the run it started from included.
        step: Optimizer steps of this run that are done.
        evaluated: Whether images are compared; else another run starts from here.
    """

    folder: Path
    epoch: int
    step: int
    evaluated: bool

    evaluation = InFolder("evaluation")
    """What `qhybrid evaluate` found."""
    grid_file = InFolder("grid.png")
    """The first images (PNG)."""

    @property
    def kept(self) -> bool:
        """Whether the weights are there: they are copied last."""
        return Run(self.folder).model_file.is_file()

    @property
    def results_file(self) -> Path:
        """All figures (JSON); the last thing that is written."""
        return self.evaluation / "evaluation.json"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.kept and (self.results_file.is_file() or not self.evaluated)


@dataclass(frozen=True)
class Job:
    """One training run.

    Attributes:
        table: Number of the table.
        row: Name of the row.
        seed: The run's.
        run: Its folder.
        values: Its settings, as they are asked for.
        points: In order.
        source: Folder of the weights that it starts from; None starts at random.
    """

    table: str
    row: str
    seed: int
    run: Run
    values: Values
    points: tuple[Point, ...]
    source: Path | None

    @property
    def label(self) -> str:
        """What it is called."""
        return f"table {self.table}, {self.row}, seed {self.seed}"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return all(point.done for point in self.points)

    def config(self, step: int) -> Config:
        """Return the settings of the run up to a step.

        Raises:
            RequestError: One is not allowed.
        """
        limit = {"training": {"max_steps": step}}
        try:
            return parse_config(merge_values(self.values, limit))
        except RequestError as error:
            raise RequestError(f"table {self.table}, row {self.row}: {error}") from error


@dataclass(frozen=True)
class Plan:
    """All runs of a reproduction.

    Attributes:
        request: What was asked for.
        experiment: The paper's file.
        jobs: In the order in which they are run.
    """

    request: ReproductionRequest
    experiment: Experiment
    jobs: tuple[Job, ...]

    claim_file = InFolder("reproduction.json")
    """Of which paper, and at which scale, the results are (JSON)."""
    results_file = InFolder("results.json")
    """All figures and verdicts (JSON)."""
    page_file = InFolder("results.html")
    """The same as a page."""

    @property
    def folder(self) -> Path:
        """Where results lie."""
        return self.request.folder

    @property
    def scale(self) -> Scale:
        """How large."""
        return self.experiment.scales[self.request.scale]

    def claim(self) -> dict[str, str]:
        """Return what a folder of results is of."""
        return {"paper": self.experiment.title, "scale": self.request.scale}

    def evaluation(self) -> EvaluationRequest:
        """Return how images are compared."""
        given = self.scale.evaluation.model_dump(exclude_none=True)
        return EvaluationRequest(**given, device=self.request.device)  # type: ignore[arg-type]

    def commands(self) -> Iterator[str]:
        """Yield the commands that do the same by hand."""
        base = self.experiment.config
        usual = flatten(Config().model_dump()) | flatten(read_values(base))
        for job in self.jobs:
            run = shlex.quote(str(job.run.folder))
            settings = flatten(job.values)
            assigned = [
                f"--set {shlex.quote(f'{key}={_text(value)}')}"
                for key, value in settings.items()
                if usual.get(key) != value
            ]
            yield f"# {job.label}"
            for number, point in enumerate(job.points):
                limit = f"--set training.max_steps={point.step}"
                begin = f"qhybrid train --config {base} {' '.join(assigned)} {limit} --out {run}"
                resume = f"qhybrid train --resume {limit} --out {run}"
                yield begin if number == 0 else resume
                kept = shlex.quote(str(point.folder))
                yield f"mkdir -p {kept} && cp {run}/config.toml {run}/model.* {kept}"
                if point.evaluated:
                    given = self.scale.evaluation.model_dump(exclude_none=True)
                    options = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in given.items())
                    yield f"qhybrid evaluate {kept} {options} --out {kept}/evaluation"


def make_plan(request: ReproductionRequest) -> Plan:
    """Return the runs of a reproduction; those that others start from come first.

    Raises:
        RequestError: There is no such paper, table, row or scale, or a setting is not allowed.
    """
    experiment = request.experiment()
    _check_datasets(request, experiment)
    scale = experiment.scales[request.scale]
    seeds = range(scale.seeds if request.seeds is None else request.seeds)
    jobs = []
    for seed in seeds:
        for table, names in request.chosen(experiment).items():
            ordered = sorted(names, key=lambda name: experiment.rows[name].start is not None)
            for row in ordered:
                if experiment.rows[row].missing is None:
                    jobs.append(_job(request, experiment, table, row, seed))
    plan = Plan(request, experiment, tuple(jobs))
    for job in plan.jobs:
        _check(job)
    plan.evaluation().check()
    return plan


def _check_datasets(request: ReproductionRequest, experiment: Experiment) -> None:
    """Refuse tables whose data set does not exist here.

    Raises:
        RequestError: As above.
    """
    for number in request.chosen(experiment):
        name = experiment.tables[number].dataset
        if name not in request.datasets and name not in DATASETS:
            raise RequestError(
                f"table {number} is of the data set '{name}', which qhybrid does not have; give "
                f"--dataset {name}=FILE.npz, or choose other tables with --table"
            )


def _check(job: Job) -> None:
    """Refuse settings that are not allowed, and a run whose later points would change earlier ones.

    Raises:
        RequestError: As above.
    """
    config = job.config(job.points[-1].step)
    if len(job.points) > 1 and config.training.lr_schedule != "constant":
        raise RequestError(
            f"table {job.table}, row {job.row}: runs that are evaluated more than once need "
            f"training.lr_schedule = constant, but it is {config.training.lr_schedule}; correct "
            "the experiments file"
        )


def _job(
    request: ReproductionRequest, experiment: Experiment, table: str, row: str, seed: int
) -> Job:
    scale, start = experiment.scales[request.scale], experiment.rows[row].start
    folder = request.folder / f"table-{table}" / row / f"seed-{seed}"
    before = 0 if start is None else start.epoch
    source = None
    if start is not None:
        beside = request.folder / f"table-{table}" / start.row / f"seed-{seed}"
        source = beside / f"epoch-{start.epoch:03d}"
    asked = not request.rows or row in request.rows
    evaluated = {each for each in experiment.epochs(table, row) if asked and each > before}
    from_here = {
        each.start.epoch
        for name in request.chosen(experiment)[table]
        if (each := experiment.rows[name]).start is not None and each.start.row == row
    }
    points = tuple(
        Point(
            folder / f"epoch-{epoch:03d}",
            epoch,
            max(1, round(epoch * scale.epoch_steps) - round(before * scale.epoch_steps)),
            epoch in evaluated,
        )
        for epoch in sorted(evaluated | from_here)
    )
    values = _values(request, experiment, table, row, seed, source)
    return Job(table, row, seed, Run(folder), values, points, source)


def _values(
    request: ReproductionRequest,
    experiment: Experiment,
    table: str,
    row: str,
    seed: int,
    source: Path | None,
) -> Values:
    own = experiment.tables[table]
    dataset = request.datasets.get(own.dataset, own.dataset)
    values = read_values(experiment.config)
    layers: tuple[Mapping[str, Any], ...] = (
        experiment.scales[request.scale].settings,
        {"data": {"dataset": dataset}},
        own.settings,
        experiment.rows[row].settings,
        {"training": {"seed": seed, "device": request.device}},
        {} if source is None else {"transfer": {"init_from": str(source.absolute())}},
    )
    for layer in layers:
        values = merge_values(values, dict(layer))
    return values


def _text(value: object) -> str:
    """Return a value as `--set` takes it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_quoted(item) for item in value)}]"
    return str(value)


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
