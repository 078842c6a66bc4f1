"""The table of models with measured figures, so that listing them builds nothing."""

import json
from importlib.resources import files
from typing import TypedDict, cast

from qhybrid.memory import check_memory
from qhybrid.models.rows import MODELS
from qhybrid.models.spec import ModelSpec


class CatalogEntry(TypedDict):
    """One model as published: 28x28x1 images, default width and variant.

    Attributes:
        name: The name in the table of models.
        paper: Where it was published.
        parameters: Trainable parameters, circuit weights included; this and the following are None
            for models of installed packages, which were not measured.
        qubits: Qubits of its largest circuit; 0 without circuits.
        circuits_per_step: Circuits evaluated per image in one denoising step.
        rounds_per_step: Rounds, i.e. dependent sets of circuit evaluations, in one denoising step.
        dead_weights: Circuit weights without effect on any output.
        weights_with_effect: The other circuit weights.
        influence: How much the output of the trained model changes with circuits, or a control's
            layers, set to their mean; measured as docs/models.md says, None without any.
        summary: One line on what it is.
    """

    name: str
    paper: str
    parameters: int | None
    qubits: int | None
    circuits_per_step: int | None
    rounds_per_step: int | None
    dead_weights: int | None
    weights_with_effect: int | None
    influence: float | None
    summary: str


def catalog() -> list[CatalogEntry]:
    """Return all models in the order of `MODELS`."""
    text = files("qhybrid.models").joinpath("catalog.json").read_text(encoding="utf-8")
    measured = {record["name"]: record for record in json.loads(text)}
    entries = []
    for name, row in MODELS.items():
        known = {**measured.get(name, {}), **vars(row)}
        entries.append(
            cast("CatalogEntry", {key: known.get(key) for key in CatalogEntry.__annotations__})
        )
    return entries


def check_model_memory(spec: ModelSpec, copies: int) -> None:
    """Refuse a model whose weights do not fit into the memory, before it is built.

    The number of weights is estimated from the published model's: it grows with the square of
    `dim`, or of the numbers in a state. Models of other packages were not measured, and pass.

    Args:
        spec: Which model, at what size.
        copies: Of the weights in single precision: 1 to hold them; 5 to train them by Adam, for
            weights, gradients, two moments and the moving average.

    Raises:
        RequestError: They do not fit.
    """
    measured = next((e["parameters"] for e in catalog() if e["name"] == spec.name), None) or 0
    if spec.row.process.planes > 1:  # linear layers as wide as a state
        width, own = spec.channels * spec.image_size**2, spec.row.size.image_size**2
        what, instead = f"states of {width:,} amplitudes", "choose a smaller data.image_size"
    else:
        width, own = spec.dim, spec.row.size.dim
        what, instead = f"dim {spec.dim}", "choose a smaller model.dim"
    weights = measured * (width / own) ** 2
    what = f"{spec.name} with {what}, about {weights:,.0f} parameters,"
    check_memory(4 * copies * weights, what, instead)
