"""What to run again, and where its results lie; imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qhybrid.data.catalog import resolve_dataset
from qhybrid.files import user_path
from qhybrid.reproduction.experiment import Experiment, read_experiment
from qhybrid_circuits.errors import RequestError, UnknownNameError

RESULTS = Path("reproductions")
"""Where results go unless told otherwise, relative to the working directory."""


@dataclass(frozen=True)
class ReproductionRequest:
    """Which experiments of a paper are run again.

    Attributes:
        paper: A name that `qhybrid reproduce` lists, or an experiments file.
        tables: Their numbers in the paper; all where empty.
        rows: Names of rows; all where empty.
        scale: How large.
        seeds: Runs of each row; None takes the scale's.
        datasets: Data set of the paper -> what stands for it.
        device: Where networks run: `auto`, `cpu` or `cuda`.
        out: Folder of the results; None takes `reproductions/PAPER-SCALE`.
    """

    paper: str
    tables: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    scale: str = "small"
    seeds: int | None = None
    datasets: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    out: Path | None = None

    @property
    def folder(self) -> Path:
        """Where results lie."""
        return RESULTS / f"{Path(self.paper).stem}-{self.scale}" if self.out is None else self.out

    def experiment(self) -> Experiment:
        """Read the paper's file, and refuse what it does not have.

        Raises:
            RequestError: There is no such paper, table, row, scale or data set.
        """
        found = read_experiment(self.paper)
        rows = {number: table.rows for number, table in found.tables.items()}
        kinds = (
            ("table", self.tables, found.tables),
            (
                "row",
                self.rows,
                [row for number in self.tables or found.tables for row in rows.get(number, ())],
            ),
            ("scale", (self.scale,), found.scales),
        )
        for kind, names, known in kinds:
            for name in names:
                if name not in known:
                    hint = f"those of '{self.paper}'"
                    raise UnknownNameError(kind, name, dict.fromkeys(known), hint)
        if self.seeds is not None and not 1 <= self.seeds <= 1000:
            raise RequestError(f"--seeds must be 1 to 1000, but is {self.seeds}")
        used = {found.tables[number].dataset for number in self.chosen(found)}
        for name, path in self.datasets.items():
            if name not in used:
                raise UnknownNameError("dataset", name, sorted(used), "those of the chosen tables")
            resolve_dataset(path)
        return found

    def chosen(self, experiment: Experiment) -> dict[str, tuple[str, ...]]:
        """Return the rows that are run, by table, and those that they start from."""
        chosen = {}
        for number, table in experiment.tables.items():
            if self.tables and number not in self.tables:
                continue
            wanted = {name for name in table.rows if not self.rows or name in self.rows}
            starts = {experiment.rows[name].start for name in wanted} - {None}
            wanted |= {start.row for start in starts if start is not None}
            if wanted:
                chosen[number] = tuple(name for name in table.rows if name in wanted)
        return chosen


def parse_datasets(texts: tuple[str, ...], request: ReproductionRequest) -> dict[str, str]:
    """Return what `NAME=PATH`, or a path alone, says of the data sets of the chosen tables.

    Raises:
        RequestError: A path alone, where the tables have several data sets.
    """
    experiment = request.experiment()
    used = sorted({experiment.tables[number].dataset for number in request.chosen(experiment)})
    named = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if equals and not user_path(text).exists():
            named[name] = path
        elif len(used) == 1:
            named[used[0]] = text
        else:
            raise RequestError(
                f"--dataset {text} does not say which data set it stands for: {' or '.join(used)}; "
                f"write --dataset {used[0]}={text}, or choose a table with --table"
            )
    return named
