"""Models on disk: safetensors weights beside the specification to build the model from."""

import json
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from qhybrid.files import checksum, reading, replacing, unsealed
from qhybrid.models.model_file import WEIGHTS_FILE, read_spec, write_spec
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.files import regular
from qhybrid_runtime import Backend

_NAMED = 3

_SHARED = 4
"""How often the same numbers of a file of `torch.save` may be in several of its tensors."""

_ENTRY = "qhybrid"
"""The one entry of a file's metadata, in JSON; files of earlier versions have `model` alone."""


def save_model(
    model: nn.Module | Mapping[str, Tensor],
    spec: ModelSpec,
    folder: Path | str,
    images: str | None = None,
) -> None:
    """Write model.safetensors and model.json; a reader never sees half a file.

    Args:
        model: The model or its state_dict, e.g. with averaged weights.
        spec: What the model was built from.
        folder: Where to; made when it does not exist.
        images: The data set that it was trained on, if any.
    """
    folder = Path(folder)
    state = model.state_dict() if isinstance(model, nn.Module) else model
    save_weights(state, spec, folder / WEIGHTS_FILE)
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    write_spec(folder, spec, shapes, images)


def save_weights(state: Mapping[str, Tensor], spec: ModelSpec, path: Path) -> None:
    """Write a state_dict as safetensors, with its SHA-256; a reader never sees half a file."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_tensors(path, tensors, {"model": spec.name})


def load_model(
    folder: Path | str,
    backend: Backend | None = None,
    gradient: str | None = None,
    weights: Path | None = None,
) -> nn.Module:
    """Build the model of a folder and give it the saved weights.

    Args:
        folder: A folder that `save_model` wrote.
        backend: Where its circuits run; None for `statevector`.
        gradient: A gradient method of the backend; None for its best.
        weights: A file of `save_weights`; None for the one in the folder.

    Raises:
        RequestError: The folder holds no model, a file is damaged, or the weights are those of
            another model.

    Example:
        >>> import torch
        >>> import qhybrid
        >>> model = qhybrid.load_model("runs/1hqconv-qvunet-digits-1")
        >>> model(torch.zeros(1, 1, 8, 8), torch.tensor([5])).shape
        torch.Size([1, 1, 8, 8])
    """
    spec = read_spec(folder)
    tensors, saved_as = read_weights(weights or Path(folder) / WEIGHTS_FILE)
    model = build_model(spec, backend, gradient)
    _check_fit(model.state_dict(), tensors, wanted=spec.name, saved_as=saved_as)
    model.load_state_dict(tensors)
    return model


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file and the name of the model that they were saved from.

    Raises:
        RequestError: There is no such file, it is damaged, or a weight is not a finite number.
    """
    if not path.is_file():
        raise RequestError(
            f"'{path.parent}' is not a complete model folder: it has no {path.name}; give the "
            "folder of a training run"
        )
    with reading(
        f"'{path}' is not a readable safetensors file", "restore it from a copy or train again"
    ):
        tensors, described = read_tensors(path)
        bad = sorted(name for name, tensor in tensors.items() if not _is_finite(tensor))
    if bad:
        raise RequestError(
            f"'{path}' has weights that are not finite numbers: {_first(bad)}; restore it from a "
            "copy or train again"
        )
    return tensors, described.get("model", "a model without a name")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], described: Mapping[str, str]) -> None:
    """Write tensors as safetensors, with what is said of them and the SHA-256 of both."""
    seal = checksum({**described, "tensors": tensors})
    # One entry: safetensors writes several in any order, and a run's files are to be the same.
    entry = json.dumps({**described, "checksum": seal})
    with replacing(path) as temporary:
        temporary.write_bytes(save(dict(tensors), {_ENTRY: entry}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return what `write_tensors` wrote; whatever a damaged file raises is for `reading`."""
    with safe_open(regular(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() or {}
    described = json.loads(metadata[_ENTRY]) if _ENTRY in metadata else metadata
    unsealed({**described, "tensors": tensors})
    return tensors, described


def read_pickled(path: Path) -> Any:
    """Return the tensors and plain values of a file of `torch.save`; code in it is not run.

    What it declares must be in it: packed records, tensors that overlap, and lists that hold each
    other would take any amount of memory or time.

    Raises:
        ValueError: torch cannot load it, or it declares more than it holds.
    """
    size = regular(path).stat().st_size
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_declared((each.file_size for each in archive.infolist()), size)
        with warnings.catch_warnings(action="ignore"):  # of pickles that are not torch's
            held = torch.load(path, map_location="cpu", weights_only=True)
        _check_declared(_sizes(held), _SHARED * size)
    except _Declared:
        raise
    except Exception as error:
        # torch recommends, at length, to load what may be malicious.
        raise ValueError("torch cannot load it") from error
    return held


class _Declared(ValueError):
    """A file declares more than it holds."""


def _check_declared(sizes: Iterator[int], limit: int) -> None:
    if any(total > limit for total in accumulate(sizes)):
        raise _Declared("it declares more than it holds")


def _sizes(held: Any) -> Iterator[int]:
    """Yield what each of nested values takes in a file at least, in bytes."""
    if isinstance(held, Tensor):
        yield held.numel() * held.itemsize
    elif isinstance(held, Mapping | list | tuple):
        for each in held.values() if isinstance(held, Mapping) else held:
            yield from _sizes(each)
    yield 1


def _is_finite(tensor: Tensor) -> bool:
    if tensor.is_floating_point():
        tensor = tensor.float()  # torch tests few of the small types
    return bool(tensor.isfinite().all())


def _check_fit(
    wanted_state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, wanted: str, saved_as: str
) -> None:
    """Refuse weights of another model in one line."""
    both = wanted_state.keys() & tensors.keys()
    problems = {
        "missing": sorted(wanted_state.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - wanted_state.keys()),
        "wrong shape": sorted(n for n in both if wanted_state[n].shape != tensors[n].shape),
        "not floating point": sorted(n for n in both if not tensors[n].is_floating_point()),
    }
    found = [f"{kind}: {_first(names)}" for kind, names in problems.items() if names]
    if found:
        raise RequestError(
            f"the weights do not fit the model: they were saved from {saved_as}, the model is "
            f"{wanted}; {'; '.join(found)}; use the model.json and model.safetensors of one run"
        )


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
