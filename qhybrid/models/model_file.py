"""model.json: which model a folder holds, readable without torch."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qhybrid.files import read_json, reading, sealed, write_json
from qhybrid.models.spec import ModelSpec
from qhybrid_circuits.errors import RequestError

SPEC_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT = 1


def read_spec(folder: Path | str) -> ModelSpec:
    """The specification of the model in a folder.

    Raises:
        RequestError: The folder holds no model, or its model.json cannot be used.
    """
    path, values = _content(folder)
    if values.get("format") != FORMAT:
        raise RequestError(
            f"'{path}' has format {values.get('format')!r}, but this qhybrid reads format "
            f"{FORMAT}; update qhybrid"
        )
    try:
        return ModelSpec.from_record(values["spec"])
    except RequestError as error:
        raise RequestError(f"'{path}': {error}") from error


def read_images(folder: Path | str) -> str | None:
    """The data set that a folder's model was trained on; None where model.json does not say it.

    Raises:
        RequestError: The folder holds no model, or its model.json cannot be used.
    """
    _, values = _content(folder)
    images = values.get("images")
    return images if isinstance(images, str) else None


def write_spec(
    folder: Path,
    spec: ModelSpec,
    tensors: Mapping[str, list[int]],
    images: str | None = None,
) -> None:
    """Write model.json: format version, specification, data set, name and shape of each tensor."""
    content = {"format": FORMAT, "spec": spec.to_dict(), "tensors": dict(tensors)}
    if images is not None:
        content["images"] = images
    write_json(folder / SPEC_FILE, sealed(content))


def _content(folder: Path | str) -> tuple[Path, dict[str, Any]]:
    path = Path(folder) / SPEC_FILE
    if not os.path.exists(path):
        raise RequestError(
            f"'{folder}' is not a model folder: it has no {SPEC_FILE}; give the folder of a "
            "training run"
        )
    with reading(f"'{path}' cannot be read", "restore it from a copy"):
        values = read_json(path, object)
    if not isinstance(values, dict) or not isinstance(values.get("spec"), dict):
        raise RequestError(f"'{path}' does not describe a model: it has no 'spec' object")
    return path, values
