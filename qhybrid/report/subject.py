"""What a report is about: a model, an ansatz or a training run, by name."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from qhybrid.files import user_path
from qhybrid.models.model_file import read_spec
from qhybrid.models.row import ModelRow
from qhybrid.models.rows import MODELS
from qhybrid.models.spec import ModelSpec
from qhybrid.run_folder import Run, open_run
from qhybrid_circuits.ansatz_registry import REGISTRY as ANSATZE
from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_circuits.plugins import is_reference, load_from_here

Kind = Literal["model", "ansatz", "run"]


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Attributes:
        kind: What the name stands for.
        name: Of the model or ansatz, or the run's folder.
        settings: What was set: options of the ansatz's builder, or fields of the model's
            specification.
        spec: The model of a model or run.
        run: The run.
    """

    kind: Kind
    name: str
    settings: Mapping[str, Any]
    spec: ModelSpec | None = None
    run: Run | None = None


def find_subject(name: str, assignments: Mapping[str, Any] | None = None) -> Subject:
    """Look up what a name stands for; names of models and ansätze go before folders.

    Args:
        name: A model, an ansatz, `module:name` of one, or the folder of a run.
        assignments: Settings of a model or ansatz.

    Raises:
        UnknownNameError: There is no such thing, or no such setting.
        RequestError: The run has no model yet, or a setting's value is not allowed.
    """
    settings = dict(assignments or {})
    if is_reference(name):
        row = load_from_here(name)
        is_model, is_ansatz = isinstance(row, ModelRow), not isinstance(row, ModelRow)
    else:
        is_model, is_ansatz = name in MODELS, name in ANSATZE
    if is_model:
        # `train` has the same settings under model.* in its configuration.
        fields = {key.removeprefix("model."): value for key, value in settings.items()}
        spec = ModelSpec.from_dict({"name": name, **fields})
        return Subject("model", name, settings, spec)
    if is_ansatz:
        return Subject("ansatz", name, settings)
    folder = user_path(name)
    if not folder.exists() and "/" not in name:
        hint = "or give the folder of a run, e.g. runs/1hqconv-qvunet-digits-1"
        raise UnknownNameError("model or ansatz", name, (*MODELS, *ANSATZE), hint)
    run = open_run(folder)
    if settings:
        raise RequestError(
            f"'{folder}' is a run, whose model cannot be changed; leave out --set, or report on "
            "the model by its name"
        )
    run.check_model()
    return Subject("run", str(run.folder), {}, read_spec(run.folder), run)


def parse_settings(assignments: list[str]) -> dict[str, Any]:
    """Return the values of KEY=VALUE texts; whole numbers and truth values are that, not text.

    Raises:
        RequestError: A text has no `=`.
    """
    settings: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise RequestError(f"--set must be KEY=VALUE, but is '{text}'; e.g. --set layers=2")
        truth = {"true": True, "false": False}
        settings[key.strip()] = truth.get(value.strip().lower(), value.strip())
        with suppress(ValueError):
            settings[key.strip()] = int(value)
    return settings
