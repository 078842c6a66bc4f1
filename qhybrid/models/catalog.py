"""The committed table of models, so that listing them takes no torch and builds nothing."""

import json
from importlib.resources import files
from typing import TypedDict, cast


class CatalogEntry(TypedDict):
    """One model as published: 28x28x1 images, default width and variant.

    Attributes:
        name: The name in the zoo.
        paper: Where it was published.
        parameters: Trainable parameters, circuit weights included.
        qubits: Qubits of its largest circuit; 0 without circuits.
        circuits_per_step: Circuits evaluated per image in one denoising step.
        rounds_per_step: Rounds, i.e. dependent sets of circuit evaluations, in one denoising step.
        dead_weights: Circuit weights without effect on any output.
        weights_with_effect: The other circuit weights.
        summary: One line on what it is.
    """

    name: str
    paper: str
    parameters: int
    qubits: int
    circuits_per_step: int
    rounds_per_step: int
    dead_weights: int
    weights_with_effect: int
    summary: str


def catalog() -> list[CatalogEntry]:
    """All models in the order of `MODEL_NAMES`."""
    text = files("qhybrid.models").joinpath("catalog.json").read_text(encoding="utf-8")
    return cast("list[CatalogEntry]", json.loads(text))
