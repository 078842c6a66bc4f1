"""Models on disk: safetensors weights beside the specification to build the model from."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from qhybrid.files import replacing
from qhybrid.models.model_file import WEIGHTS_FILE, read_spec, write_spec
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime import Backend

_NAMED = 3


def save_model(
    model: nn.Module | Mapping[str, Tensor], spec: ModelSpec, folder: Path | str
) -> None:
    """Write model.safetensors and model.json; a reader never sees half a file.

    Args:
        model: The model or its state_dict, e.g. with averaged weights.
        spec: What the model was built from.
        folder: Where to; made when it does not exist.
    """
    folder = Path(folder)
    state = model.state_dict() if isinstance(model, nn.Module) else model
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(folder / WEIGHTS_FILE) as temporary:
        save_file(tensors, str(temporary), metadata={"model": spec.name})
    write_spec(folder, spec, {name: list(tensor.shape) for name, tensor in tensors.items()})


def load_model(
    folder: Path | str, backend: Backend | None = None, gradient: str | None = None
) -> nn.Module:
    """Build the model of a folder and give it the saved weights.

    Args:
        folder: A folder that `save_model` wrote.
        backend: Where its circuits run; None for `statevector`.
        gradient: A gradient method of the backend; None for its best.

    Raises:
        RequestError: The folder holds no model, a file is damaged, or the weights are those of
            another model.
    """
    spec = read_spec(folder)
    tensors, saved_as = read_weights(Path(folder) / WEIGHTS_FILE)
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
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            saved_as = (file.metadata() or {}).get("model", "a model without a name")
    except (OSError, SafetensorError) as error:
        raise RequestError(
            f"'{path}' is not a readable safetensors file ({error}); restore it from a copy or "
            "train again"
        ) from error
    bad = sorted(name for name, tensor in tensors.items() if not bool(tensor.isfinite().all()))
    if bad:
        raise RequestError(
            f"'{path}' has weights that are not finite numbers: {_first(bad)}; restore it from a "
            "copy or train again"
        )
    return tensors, saved_as


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
