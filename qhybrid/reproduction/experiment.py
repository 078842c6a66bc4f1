"""An experiments file: the tables of a paper, its figures, its claims, and how to run them again.

One TOML file a paper, in `qhybrid/experiments`; `Experiment` says what is in it.
"""

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from itertools import chain
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from qhybrid.evaluation.features import check_features
from qhybrid.files import reading, user_path
from qhybrid.settings.section import Count, Section
from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_circuits.files import regular

Values = dict[str, dict[str, Any]]
"""Section -> key -> value, as in a configuration."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""What folders are named after too."""

_PACKAGE = "qhybrid.experiments"


class Evaluations(Section):
    """How the images of each run are drawn and compared, see `qhybrid evaluate`.

    Attributes:
        num_images: Generated images.
        features: One of `qhybrid.evaluation.features.FEATURES`.
        reference: Split of the real images.
        sampler: None takes the run's.
        steps: Denoising steps; None takes the run's.
    """

    num_images: Annotated[int, Field(ge=100)]
    features: str = "classifier"
    reference: Literal["train", "test"] = "train"
    sampler: str | None = None
    steps: Count | None = None

    @model_validator(mode="after")
    def _has_features(self) -> Self:
        check_features((self.features,))
        return self


class Scale(Section):
    """How large the experiments are made.

    Attributes:
        summary: In a line.
        time: How long all tables take, and where that is known from.
        seeds: Runs of each row.
        epoch_steps: Optimizer steps that stand for one epoch of the paper.
        evaluation: How images are compared.
        settings: Over those of the paper's configuration.
    """

    summary: str
    time: str
    seeds: Count
    epoch_steps: Annotated[float, Field(gt=0)]
    evaluation: Evaluations
    settings: Values = Field(default_factory=dict)


class Start(Section):
    """The run that a row's runs take weights from: of the same seed.

    Attributes:
        row: Its row.
        epoch: Epochs of the paper after which they are taken.
    """

    row: Name
    epoch: Count


class Row(Section):
    """One model, trained in one way.

    Attributes:
        label: In tables.
        settings: Over those of scale and table.
        start: What it starts from; None starts at random.
        epochs: Epochs of the paper after which images are compared, those of `start` included;
            None takes the table's.
        missing: Why it cannot be run, where it cannot.
    """

    label: str
    settings: Values = Field(default_factory=dict)
    start: Start | None = None
    epochs: tuple[Count, ...] | None = None
    missing: str | None = None


class Published(Section):
    """Figures of the paper.

    Attributes:
        row: Of this row.
        epoch: After these epochs.
        figures: Name -> value, as the paper has them.
    """

    row: Name
    epoch: Count
    figures: dict[str, float]


class Table(Section):
    """A table or figure of the paper.

    Attributes:
        title: With its number in the paper.
        dataset: Images.
        rows: In order.
        epochs: Epochs of the paper after which images are compared.
        settings: Over those of the scale.
        published: The paper's figures.
        notes: What readers must know to compare.
    """

    title: str
    dataset: str
    rows: tuple[Name, ...]
    epochs: tuple[Count, ...]
    settings: Values = Field(default_factory=dict)
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()


class Claim(Section):
    """What the paper's text says of two rows: that the first is better.

    Attributes:
        text: In our words.
        table: Where the rows are.
        first: The better row; or several, of which the mean of each seed counts.
        second: The other, or as many others; None compares with `at_most`.
        figures: In each of these.
        epoch: After these epochs.
        second_epoch: Of the second, where it is another.
        at_most: What the figure does not exceed; instead of `second`.
    """

    text: str
    table: Name
    first: tuple[Name, ...]
    second: tuple[Name, ...] | None = None
    figures: tuple[str, ...]
    epoch: Count
    second_epoch: Count | None = None
    at_most: float | None = None

    @property
    def sides(self) -> tuple[tuple[tuple[str, int], tuple[str, int]], ...]:
        """Return the pairs of (row, epoch) that are compared; without a second, twice the first."""
        epoch = self.second_epoch or self.epoch
        others = [(row, self.epoch) for row in self.first]
        if self.second is not None:
            others = [(row, epoch) for row in self.second]
        return tuple(zip(((row, self.epoch) for row in self.first), others, strict=True))

    @model_validator(mode="after")
    def _compares(self) -> Self:
        if (self.second is None) == (self.at_most is None):
            raise ValueError(f"claim '{self.text}' must have either `second` or `at_most`")
        if self.second is not None and len(self.second) != len(self.first):
            raise ValueError(
                f"claim '{self.text}' must have as many rows in `first` as in `second`"
            )
        return self


class Experiment(Section):
    """All of a paper.

    Attributes:
        title: Of the paper.
        paper: Authors, journal, year.
        link: Where it is, if that is known.
        config: Configuration that everything starts from, as `qhybrid train --config` takes it.
        notes: What readers must know to compare.
        scales: Name -> scale; `small` and `paper` in those that come with qhybrid.
        rows: Name -> row.
        tables: Number in the paper -> table.
        claims: What the paper's text says.
    """

    title: str
    paper: str
    link: str | None = None
    config: str
    notes: tuple[str, ...] = ()
    scales: dict[Name, Scale]
    rows: dict[Name, Row]
    tables: dict[Name, Table]
    claims: tuple[Claim, ...] = ()

    @model_validator(mode="after")
    def _refers_to_what_is_there(self) -> Self:
        for number, table in self.tables.items():
            for name in table.rows:
                self._check(name, self.rows, f"a row of table {number}")
            for name in table.rows:
                start = self.rows[name].start
                if start is not None:
                    self._check(start.row, table.rows, f"the row that {name} starts from")
                    if self.rows[start.row].start is not None:
                        raise ValueError(f"row {name} starts from {start.row}, which starts itself")
            for each in table.published:
                self._check(each.row, table.rows, f"a published row of table {number}")
                self._check(each.epoch, self.epochs(number, each.row), f"epoch of {each.row}")
        for claim in self.claims:
            self._check(claim.table, self.tables, f"the table of claim '{claim.text}'")
            for name, epoch in chain.from_iterable(claim.sides):
                what = f"of claim '{claim.text}'"
                self._check(name, self.tables[claim.table].rows, f"a row {what}")
                self._check(epoch, self.epochs(claim.table, name), f"the epoch of {name} {what}")
        return self

    @staticmethod
    def _check(value: object, known: Any, what: str) -> None:
        if value not in known:
            raise ValueError(f"{what} must be one of {', '.join(map(str, known))}, but is {value}")

    def epochs(self, table: str, row: str) -> tuple[int, ...]:
        """Return the epochs of the paper after which a row's images are compared."""
        own = self.rows[row].epochs
        return own if own is not None else self.tables[table].epochs

    def published(self, table: str, row: str, epoch: int) -> dict[str, float]:
        """Return the paper's figures, none where it prints none."""
        for each in self.tables[table].published:
            if (each.row, each.epoch) == (row, epoch):
                return each.figures
        return {}


def experiment_names() -> tuple[str, ...]:
    """Return the names of the papers that come with qhybrid."""
    found = (entry.name for entry in files(_PACKAGE).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def experiments() -> Iterator[tuple[str, Experiment]]:
    """Yield the papers that come with qhybrid, by name."""
    for name in experiment_names():
        yield name, read_experiment(name)


def read_experiment(paper: str) -> Experiment:
    """Return what a paper's file says.

    Args:
        paper: A name that `experiment_names` has, or the path of a TOML file.

    Raises:
        RequestError: There is none, or it is not as `Experiment` says.
    """
    if paper in experiment_names():
        text = files(_PACKAGE).joinpath(f"{paper}.toml").read_text(encoding="utf-8")
    else:
        path = user_path(paper)
        if path.suffix != ".toml":
            hint = "or give the path of an experiments file (TOML)"
            raise UnknownNameError("paper", paper, experiment_names(), hint)
        if not path.exists():
            raise RequestError(
                f"there is no experiments file '{paper}'; give one, or one of the names "
                f"{', '.join(experiment_names())}"
            )
        with reading(f"cannot read the experiments file '{paper}'", "correct it there"):
            text = regular(path).read_text(encoding="utf-8")
    with reading(f"'{paper}' is not an experiments file", "correct it there"):
        return Experiment.model_validate(tomllib.loads(text))
