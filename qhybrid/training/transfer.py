"""Start a model from another run's weights, and keep some of them as they are.

De Falco et al. (2024, section 3.3) train a classical U-Net, copy all but the vertex's weights into
another model, and train that on; so they do in their control, where both models are classical. The
PyTorch report copies the vertex's classical weights too and then trains circuits alone.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from qhybrid.models.control import ControlLayer
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import read_weights
from qhybrid.run_folder import Run
from qhybrid.settings.training_sections import TransferSection
from qhybrid.training.transfer_record import TransferRecord, read_record, source_run
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime import QuantumLayer, WeightTable

VERTEX = "vertex."

Tensors = Mapping[str, Tensor]


def start_from(
    model: nn.Module, spec: ModelSpec, settings: TransferSection, resumed: Run | None = None
) -> TransferRecord | None:
    """Give a model the weights that a run starts from, and freeze those that are to stay.

    A resumed run whose checkpoint has the weights does not need the other run any more. Returns
    what was taken, or None where the settings name no run.

    Raises:
        RequestError: The other run cannot be used, shares no weights with the model, has changed
            since this run was started, or nothing would be left to train.
    """
    if settings.model is not None and resumed is not None:
        settings = settings.model_copy(update={"init_from": str(resumed.pretrained.folder)})
    if settings.init_from is None:
        return None
    saved = resumed.transfer_file if resumed is not None else None
    before = read_record(saved) if saved is not None and saved.is_file() else None
    if before is None or resumed is None or resumed.newest_checkpoint() is None:
        record = _take(model, spec, settings)
        if before is not None and before.sha256 != record.sha256:
            raise RequestError(
                f"the weights of '{record.source}' are not those that this run started from; "
                "restore them, or start a new run without --resume"
            )
    else:
        record = before
    for name, parameter in model.named_parameters():
        if name in record.frozen:
            parameter.requires_grad_(False)
    return record


def _take(model: nn.Module, spec: ModelSpec, settings: TransferSection) -> TransferRecord:
    run, theirs = source_run(str(settings.init_from))
    found = read_weights(run.model_file)[0]
    state, circuits = model.state_dict(), circuit_weights(model)
    # A circuit's weights mean the same in the same model alone; other circuits may have as many.
    kinds = [_circuits_of(each) for each in (spec, theirs)]
    left = set() if kinds[0] == kinds[1] else circuits
    if not settings.takes_vertex:
        left |= {name for name in state if name.startswith(VERTEX)}
    taken = [
        name
        for name, tensor in state.items()
        if name in found and name not in left and found[name].shape == tensor.shape
    ]
    if not any(state[name].ndim > 1 for name in taken):
        raise RequestError(_nothing_shared(run.folder, spec, theirs, state, found))
    frozen = [name for name in taken if settings.freeze and name not in circuits]
    sizes = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    trained = sum(size for name, size in sizes.items() if name not in frozen)
    if not trained:
        raise RequestError(
            f"--freeze {settings.freeze} leaves nothing to train: {spec.name} takes every weight "
            f"from '{run.folder}' ({theirs.name}) and has no circuit of its own; leave --freeze "
            "out, or train the vertex anew with --set transfer.vertex=new"
        )
    with torch.no_grad():
        for name in taken:
            state[name].copy_(found[name])
    return TransferRecord(
        source=str(run.folder),
        model=theirs.name,
        sha256=hashlib.sha256(run.model_file.read_bytes()).hexdigest(),
        taken=tuple(taken),
        new=tuple(name for name in state if name not in taken),
        skipped=tuple(name for name in found if name not in taken),
        frozen=tuple(frozen),
        weights=sum(state[name].numel() for name in taken),
        trained=trained,
    )


def _circuits_of(spec: ModelSpec) -> tuple[object, ...]:
    """Return all that says what a weight of a model's circuits means."""
    chosen = (spec.ansatz or spec.row.ansatz, spec.encoding, spec.topology)
    return (spec.name, spec.variant, spec.ansatz_layers, *chosen)


def circuit_weights(model: nn.Module) -> set[str]:
    """Return the names of the weights of circuits, their tables, or the controls in their place."""
    return {
        f"{name}.weight" if name else "weight"
        for name, module in model.named_modules()
        if isinstance(module, QuantumLayer | ControlLayer | WeightTable)
    }


def _nothing_shared(
    folder: Path, spec: ModelSpec, theirs: ModelSpec, state: Tensors, found: Tensors
) -> str:
    """Say why no weight matrix could be taken."""
    both = [name for name in state if name in found and state[name].ndim > 1]
    why = "no tensor has the same name in both"
    if both:
        name = both[0]
        there, here = tuple(found[name].shape), tuple(state[name].shape)
        why = f"e.g. {name} has shape {there} there and {here} here"
    return (
        f"{spec.name} (dim {spec.dim}) can take nothing from the run '{folder}' of {theirs.name} "
        f"(dim {theirs.dim}): {why}; start from a run of the same kind of network with the same "
        "model.dim"
    )
