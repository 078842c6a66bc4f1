"""Where a configuration comes from: a TOML file, a name that comes with qhybrid, `key=value`."""

import difflib
import hashlib
import logging
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from qhybrid.diffusion.specs import LEARNED_SCHEDULE
from qhybrid.files import read_text, shown, user_path, write_text
from qhybrid.settings.config import Config
from qhybrid.settings.option import Option, OptionField, value_type
from qhybrid.settings.recipes import OLD_NAMES, is_recipe, read_recipe, recipe_names
from qhybrid_circuits.errors import RequestError, UnknownNameError

_SEAL = "# SHA-256 of all above: "

Values = dict[str, Any]
"""Section -> key -> value, as TOML gives it: only what was asked for, no defaults."""


def config_sections() -> dict[str, type[BaseModel]]:
    """Return the class of every section of a configuration by its name."""
    return {
        name: field.annotation
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def config_keys() -> tuple[str, ...]:
    """Return every key of a configuration, dotted, e.g. `training.epochs`."""
    sections = config_sections().items()
    return tuple(f"{name}.{key}" for name, section in sections for key in section.model_fields)


def option_keys() -> Iterator[tuple[str, OptionField]]:
    """Yield each key that is an option of `qhybrid train`, dotted, and the option."""
    for name, section in config_sections().items():
        for key, field in section.model_fields.items():
            for option in field.metadata:
                if isinstance(option, Option):
                    kind = value_type(field.annotation, option)
                    called = (option.flag or key).strip("-").replace("-", "_")
                    yield f"{name}.{key}", OptionField(called, kind, option)


def load_config(
    source: str | Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read a configuration.

    Args:
        source: A TOML file, the name of a configuration that comes with qhybrid, or None for the
            defaults.
        overrides: Dotted key -> value; they win over the source.

    Raises:
        RequestError: There is no such file or key, or a value is not allowed.

    Example:
        >>> import qhybrid
        >>> config = qhybrid.load_config("defalco2024", {"training.epochs": 5})
        >>> config.training.epochs, config.diffusion.timesteps
        (5, 1000)
    """
    values = read_values(source) if source is not None else {}
    return parse_config(merge_values(values, nest(overrides or {})))


def read_values(source: str | Path) -> Values:
    """The values that a TOML file, or a configuration that comes with qhybrid, sets.

    Raises:
        RequestError: There is no such file, or it is not TOML.
    """
    path = user_path(source)
    if not path.is_file() and is_recipe(str(source)):
        return read_recipe(str(source))
    if path.is_file():
        try:
            text = read_text(path)
        except (OSError, ValueError) as error:
            raise RequestError(f"cannot read the configuration '{path}': {error}") from error
    elif path.suffix == ".toml" or path.parent != Path():
        raise RequestError(
            f"there is no configuration file '{source}'; give a TOML file or one of the names "
            f"{', '.join(recipe_names())}"
        )
    else:
        raise UnknownNameError(
            "configuration",
            str(source),
            recipe_names(),
            "`qhybrid configs` describes them; or give the path of a TOML file",
            OLD_NAMES,
        )
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of syntax, of long numbers, of deep brackets
        raise RequestError(f"'{source}' is not valid TOML: {error}; correct it there") from error
    return _as_recorded(values) if _SEAL in text else values


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Turn `key=value` texts into dotted key -> value.

    A value is read as TOML (`0.1`, `true`, `[0, 1]`) where it is TOML and as plain text otherwise.

    Raises:
        RequestError: A text has no `=`.
    """
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise RequestError(
                f"--set takes key=value, but is '{assignment}'; e.g. --set training.epochs=5"
            )
        try:
            parsed = tomllib.loads(f"value = {text}")
        except (ValueError, RecursionError):
            parsed = {}
        # A line break in the text could start further keys, which must not go unnoticed.
        values[key.strip()] = parsed["value"] if parsed.keys() == {"value"} else text.strip()
    return values


def nest(dotted: Mapping[str, Any]) -> Values:
    """Turn dotted keys into nested values.

    Raises:
        UnknownNameError: A key does not exist.
    """
    nested: Values = {}
    for key, value in dotted.items():
        section, dot, name = key.partition(".")
        if not dot or key not in config_keys():
            raise _unknown_key(key)
        nested.setdefault(section, {})[name] = value
    return nested


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn nested values into dotted key -> value; the inverse of `nest`."""
    tables = values.items()
    return {f"{name}.{key}": value for name, table in tables for key, value in table.items()}


def merge_values(base: Values, changes: Values) -> Values:
    """The base's values with the changes' over them."""
    merged = dict(base)
    for section, table in changes.items():
        below = merged.get(section, {})
        both_tables = isinstance(below, dict) and isinstance(table, dict)
        merged[section] = {**below, **table} if both_tables else table
    _leave_to_the_other_model(base, changes, merged)
    asked = changes.get("diffusion")
    if isinstance(asked, dict) and "schedule" in asked:
        # A schedule by name takes the place of the base's list, the learned one of its weights too.
        replaced = {"betas"} | (
            {"p2_k", "p2_gamma"} if asked["schedule"] == LEARNED_SCHEDULE else set()
        )
        table = merged["diffusion"]
        merged["diffusion"] = {k: v for k, v in table.items() if k in asked or k not in replaced}
    return merged


def _leave_to_the_other_model(base: Values, changes: Values, merged: Values) -> None:
    """Drop a variant of the base's model that the model in its place does not have."""
    from qhybrid.models.rows import MODELS

    before, asked = base.get("model"), changes.get("model")
    if not isinstance(before, dict) or not isinstance(asked, dict) or "variant" in asked:
        return
    row = MODELS.get(str(asked.get("name")))
    if row is not None and before.get("variant") not in (None, *row.variants):
        merged["model"].pop("variant")


def parse_config(values: Values) -> Config:
    """Check values and fill in the defaults.

    Raises:
        RequestError: One line on the first key or value that is wrong.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _in_one_line(error) from error


def save_config(config: Config, path: Path) -> None:
    """Write every key that is set, defaults included, as TOML, and the SHA-256 of it."""
    text = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
    write_text(path, f"{text}{_SEAL}{_sha256(text)}\n")


def saved_config(path: Path) -> Config:
    """Read what `save_config` wrote; changes since then are told.

    Raises:
        RequestError: The file is damaged.
    """
    try:
        config = parse_config(_as_recorded(read_values(path)))
    except RequestError as error:
        if str(path) in str(error):
            raise
        raise RequestError(f"'{path}': {error}") from error
    warn_of_changes(path)
    return config


def _as_recorded(values: Values) -> Values:
    """Return what the values of a `config.toml`, maybe of an earlier version, mean today."""
    from qhybrid.models.spec import as_recorded

    model = values.get("model")
    return {**values, "model": as_recorded(model)} if isinstance(model, dict) else values


@cache
def warn_of_changes(path: Path) -> None:
    """Say once if a file is not as `save_config` wrote it; people may edit it."""
    text, seal, digest = path.read_text(encoding="utf-8").rpartition(_SEAL)
    if seal and digest.strip() != _sha256(text):
        logging.getLogger(__name__).warning(
            "warning: '%s' is not as it was written: its SHA-256 differs; if nobody edited it, "
            "it is damaged: restore it",
            path,
        )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _in_one_line(error: ValidationError) -> RequestError:
    first = error.errors()[0]
    value = first["input"]
    key = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    if first["type"] == "extra_forbidden":
        return _unknown_key(key)
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UnknownNameError):
        return cause
    if isinstance(cause, ValueError):
        named = key.rpartition(".")[2] in str(cause)
        return RequestError(str(cause) if named else f"{key}: {cause}")
    if first["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return RequestError(f"{key} must be a table of keys, but is {shown(value)}")
    section, _, name = key.partition(".")
    default = getattr(getattr(Config(), section, None), name, None)
    if isinstance(default, tuple) and first["type"] in ("tuple_type", "missing", "too_long"):
        return RequestError(
            f"{key} must be {len(default)} numbers, e.g. {list(default)}, but is {shown(value)}"
        )
    if first["type"].startswith("bool"):
        return RequestError(f"{key} must be true or false, but is {shown(value)}")
    requirement = first["msg"].replace("Input should", "must", 1).replace("tuple", "list")
    return RequestError(f"{key} {requirement[:1].lower()}{requirement[1:]}, but is {shown(value)}")


def _unknown_key(key: str) -> UnknownNameError:
    """Name the section's keys, or the keys of any section where the section does not exist."""
    keys = config_keys()
    section, _, name = key.rpartition(".")
    own = tuple(known for known in keys if known.startswith(f"{section}."))
    if own:
        return UnknownNameError("configuration key", key, own)
    leaves = dict.fromkeys(known.partition(".")[2] for known in keys)
    like = difflib.get_close_matches(name, leaves, n=3)
    near = [known for leaf in like for known in keys if known.partition(".")[2] == leaf]
    sections = tuple(f"{section}.*" for section in Config.model_fields)
    if not near:
        return UnknownNameError("configuration key", key, sections)
    return UnknownNameError("configuration key", key, near, f"sections: {', '.join(sections)}")
