"""What is evaluated: a run, a sampling run, a folder of images or a file; imports nothing heavy."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qhybrid.files import read_json, user_path
from qhybrid.run_folder import Run, open_run
from qhybrid.run_group import is_group
from qhybrid.sampling.folder import SamplingRun
from qhybrid_circuits.errors import RequestError

DRAW = "draw some with `qhybrid sample RUN --num-images 7000`"


@dataclass(frozen=True)
class Subject:
    """Where generated images are, or come from.

    Attributes:
        kind: What it is.
        path: The folder or file.
        run: The training run that the images belong to; None where it is not known.
    """

    kind: Literal["run", "sampling", "folder", "file"]
    path: Path
    run: Run | None

    @property
    def label(self) -> str:
        """What folders of results are named after."""
        return self.path.stem if self.kind == "file" else self.path.name


def find_subject(path: Path | str) -> Subject:
    """Decide what a path names.

    Raises:
        RequestError: There is nothing there, or something else.
    """
    path = user_path(path)
    if (path / "config.toml").is_file() or is_group(path):
        return Subject("run", path, open_run(path))
    if not path.exists():
        try:
            open_run(path)
        except RequestError as error:
            raise RequestError(
                f"{error}; a sampling run, a folder of images or FILE.npz can be evaluated too"
            ) from None
    if path.is_file():
        if path.suffix.lower() != ".npz":
            raise RequestError(
                f"'{path}' is neither a folder nor an .npz file; give a run, a sampling run, a "
                "folder of images, or FILE.npz with uint8 (N, H, W, C) under `images`"
            )
        beside = SamplingRun(path.parent)
        if path == beside.drawn_file and beside.manifest_file.is_file():
            return Subject("sampling", path.parent, _run_of(beside))
        return Subject("file", path, None)
    sampling = SamplingRun(path)
    if sampling.drawn_file.is_file():
        return Subject("sampling", path, _run_of(sampling))
    if sampling.plan_file.is_file() or sampling.manifest_file.is_file():
        raise RequestError(
            f"the sampling run in '{path}' has no images.npz: it is not finished; go on with "
            f"`qhybrid sample RUN --resume --out {path}`"
        )
    return Subject("folder", path, None)


def _run_of(sampling: SamplingRun) -> Run | None:
    """Return the run that a sampling run was drawn from: where it lies, else where it lay."""
    named: object = None
    with suppress(Exception):  # of a manifest that is missing or damaged
        named = read_json(sampling.manifest_file, dict[str, Any]).get("run")
    places = [sampling.folder.absolute().parent.parent]
    places += [Path(named)] if isinstance(named, str) else []
    runs = [Run(place) for place in places]
    return next((run for run in runs if run.config_file.is_file()), None)
