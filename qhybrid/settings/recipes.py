"""The configurations that come with qhybrid: recipes of papers, each a TOML file.

Beside sections, such a file has a `summary` in a line, and perhaps a `base`, the name of a recipe
whose values stand where it has none.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qhybrid.settings.config import Config

OLD_NAMES: Mapping[str, str] = {
    "paper": "defalco2024",
    "wide": "capece-scratch",
    "qattention": "chen2025-trainable",
    "qbottleneck": "jo2026",
}
"""Names of earlier versions -> those that the recipes have now."""


@dataclass(frozen=True)
class Recipe:
    """A row of the listing.

    Attributes:
        name: What `--config` takes.
        model: The model that is trained.
        dataset: On which images.
        epochs: For how long, after those of another model where it starts from one.
        summary: One line on what it is.
    """

    name: str
    model: str
    dataset: str
    epochs: str
    summary: str

    def record(self) -> dict[str, Any]:
        """Return it as values for a listing."""
        return asdict(self)


def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes, in order, without the old ones."""
    names = (entry.name for entry in files("qhybrid.configs").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def is_recipe(name: str) -> bool:
    """Return whether a recipe has a name, now or formerly."""
    return name in recipe_names() or name in OLD_NAMES


def read_recipe(name: str) -> dict[str, Any]:
    """Return the values of a recipe, those of its base included."""
    return _read(name)[0]


def recipes() -> list[Recipe]:
    """Return the listing."""
    listed = []
    for name in recipe_names():
        values, summary = _read(name)
        transfer, epochs = values.get("transfer", {}), str(values["training"]["epochs"])
        if "epochs" in transfer:
            epochs = f"{transfer['epochs']} + {epochs}"
        model, dataset = values["model"]["name"], values["data"]["dataset"]
        listed.append(Recipe(name, model, dataset, epochs, summary))
    return listed


def departures(config: "Config", asked: Collection[str]) -> str | None:
    """Return one line on where the defaults depart from the settings of a model's paper.

    Args:
        config: Of a run that no configuration was named for.
        asked: Dotted keys that the user set.

    Returns:
        None where nothing departs, the model is of no paper, or the user chose some of the values
        that the paper gives, and so does not expect the paper's.
    """
    from qhybrid.models.rows import MODELS, RECIPES

    row = MODELS[config.model.name]
    paper = row.paper
    if paper not in RECIPES:
        return None
    usual, wanted, parts = config.model_dump(mode="json"), read_recipe(RECIPES[paper]), []
    if MODELS[wanted["model"]["name"]].process.kind is not row.process.kind:
        return None
    for section in ("training", "diffusion", "ema"):
        own, published = usual[section], wanted.get(section, {})
        if any(f"{section}.{key}" in asked for key in published):
            return None
        if keys := [key for key in published if own[key] != published[key]]:
            parts.append(f"{section}.{', '.join(keys)}")
    if not parts:
        return None
    return (
        f"these are not the settings of {paper} ({'; '.join(parts)}); --config {RECIPES[paper]} "
        "has them"
    )


def _read(name: str) -> tuple[dict[str, Any], str]:
    """Return the values of a recipe, and its summary."""
    file = files("qhybrid.configs").joinpath(f"{OLD_NAMES.get(name, name)}.toml")
    own = tomllib.loads(file.read_text(encoding="utf-8"))
    summary, base = str(own.pop("summary")), own.pop("base", None)
    values = read_recipe(base) if base is not None else {}
    return values | {key: {**values.get(key, {}), **table} for key, table in own.items()}, summary
