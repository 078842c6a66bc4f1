"""The circuits of a model, found by building it and running it once."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qhybrid.models.control import circuit_places
from qhybrid.models.rows import SCHEDULE_MODULE
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import load_model
from qhybrid.models.zoo import build_model
from qhybrid.report.circuits import (
    SEED,
    CircuitUse,
    RoundPart,
    SubjectCircuits,
    ansatz_options,
    circuit_key,
)
from qhybrid.report.subject import Subject
from qhybrid_runtime import CircuitBank, QuantumLayer, get_backend
from qhybrid_runtime.health.influence import influence
from qhybrid_runtime.health.model import ModelHealth, model_health

#: Images of noise on which the influence is measured where a model has no data.
_NOISE_IMAGES = 16

#: One circuit of a round: its layer, its weights at that moment, its parameter sets per image.
Call = tuple[QuantumLayer, np.ndarray, int]


@dataclass
class _Structure:
    layer: QuantumLayer
    weights: np.ndarray
    circuits: int = 0


def model_circuits(subject: Subject) -> SubjectCircuits:
    """Build the model of a model or run, and see which circuits it evaluates when.

    A model's weights are random, from a fixed seed; a run's are its own.

    Raises:
        RequestError: The run's files cannot be used, or the model cannot be built.
    """
    spec = subject.spec
    if spec is None:
        raise ValueError("an ansatz has no model")
    model = load_model(subject.run.folder) if subject.run else random_model(spec)
    model = without_schedule(model).double()
    rounds = _watch(model, *one_image(model, spec))
    uses, parts = _sorted_by_structure(rounds, spec)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    places = circuit_places(model)
    found = None
    if places and not spec.row.alone:
        found = influence(model, _noise(model, spec), modules=places, seed=1).to_dict()
    return SubjectCircuits(uses, parts, parameters, examine(model, spec).to_dict(), found)


def random_model(spec: ModelSpec) -> nn.Module:
    """Build a model with the weights that belong to `SEED`; torch's random state stays as it is."""
    generator = torch.Generator().manual_seed(SEED)
    return without_schedule(build_model(spec, get_backend("statevector"), None, generator))


def without_schedule(model: nn.Module) -> nn.Module:
    """Return a model without a learned noise schedule, which it does not use on images itself."""
    model._modules.pop(SCHEDULE_MODULE, None)
    return model


def examine(model: nn.Module, spec: ModelSpec) -> ModelHealth:
    """Return the health of a model; what is all zero in it becomes random first."""
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model_health(model, *one_image(model, spec))


def one_image(model: nn.Module, spec: ModelSpec) -> tuple[Tensor, Tensor]:
    """Return noise in the shape of one image, (1, C, H, W), and a time step, (1,)."""
    like = next(model.parameters())
    shape = (1, *spec.input_shape)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(like)
    return noise, torch.tensor([(spec.timesteps or 1000) // 2], device=like.device)


def _noise(model: nn.Module, spec: ModelSpec) -> tuple[Tensor, Tensor]:
    """Return noise in the shape of images, and time steps from the first to the last one."""
    like, shape = next(model.parameters()), (_NOISE_IMAGES, *spec.input_shape)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(like)
    times = torch.arange(_NOISE_IMAGES) * (spec.timesteps or 1000) // _NOISE_IMAGES
    return noise, times.to(like.device)


def _watch(model: nn.Module, images: Tensor, times: Tensor) -> list[list[Call]]:
    """Call a model on one image and return its rounds in order."""
    rounds: list[list[Call]] = []

    def of_bank(bank: nn.Module, arguments: tuple[Any, ...]) -> None:
        layers = [each for each in bank.layers if isinstance(each, QuantumLayer)]  # type: ignore[union-attr]
        rounds.append([_call(*each) for each in zip(layers, arguments[0], strict=True)])

    def of_layer(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        if isinstance(layer, QuantumLayer) and arguments:
            rounds.append([_call(layer, arguments[0])])

    hooks = [
        module.register_forward_pre_hook(of_bank if isinstance(module, CircuitBank) else of_layer)
        for module in model.modules()
        if isinstance(module, CircuitBank | QuantumLayer)
    ]
    try:
        with torch.no_grad():
            model(images, times)
    finally:
        for hook in hooks:
            hook.remove()
    return rounds


def _call(layer: QuantumLayer, inputs: Tensor) -> Call:
    return layer, layer.weight.detach().cpu().double().numpy().copy(), math.prod(inputs.shape[:-1])


def _sorted_by_structure(
    rounds: Sequence[Sequence[Call]], spec: ModelSpec
) -> tuple[tuple[CircuitUse, ...], tuple[tuple[RoundPart, ...], ...]]:
    structures: dict[str, _Structure] = {}
    keys: dict[int, str] = {}
    parts = []
    for calls in rounds:
        counts: Counter[tuple[str, int]] = Counter()
        for layer, weights, samples in calls:
            variational = layer.variational
            key = keys.setdefault(id(variational), "") or circuit_key(variational)
            keys[id(variational)] = key
            structures.setdefault(key, _Structure(layer, weights)).circuits += 1
            counts[key, samples] += 1
        order = list(structures)
        parts.append(tuple(RoundPart(order.index(key), n, s) for (key, s), n in counts.items()))
    settings = {"layers": spec.ansatz_layers, "variant": spec.ansatz_variant}
    if spec.topology is not None:
        settings["topology"] = spec.topology
    uses = []
    for structure in structures.values():
        variational = structure.layer.variational
        options = ansatz_options(variational, settings)
        uses.append(CircuitUse(variational, structure.weights, structure.circuits, options))
    return tuple(uses), tuple(parts)
