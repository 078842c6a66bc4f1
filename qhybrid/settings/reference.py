"""The reference table of every setting, made from their definitions.

`python -m qhybrid.settings.reference > docs/settings.md` writes it.
"""

import inspect
from typing import Any

from pydantic import BaseModel

from qhybrid.settings.config import Config
from qhybrid.settings.option import attribute_texts
from qhybrid.settings.sources import config_sections, option_keys

_INTRODUCTION = """\
# Settings

Every key of a configuration, as `config.toml` has it and `--set KEY=VALUE` takes it, with its
default and, where there is one, its option of `qhybrid train`. Options win over `--set`, and
`--set` over `--config`. This page is made from the settings' definitions:
`python -m qhybrid.settings.reference > docs/settings.md`.
"""


def reference() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION]
    for name, section in config_sections().items():
        summary, _, _ = (inspect.getdoc(section) or "").partition("\nAttributes:")
        parts += [f"\n## {name}\n", f"\n{summary.strip()}\n\n", _table(name, section)]
    return "".join(parts)


def _table(name: str, section: type[BaseModel]) -> str:
    options = {key: f"`{field.flag}`" for key, field in option_keys()}
    texts = attribute_texts(section)
    defaults = getattr(Config(), name)
    rows = ["| key | default | option | meaning |\n| --- | --- | --- | --- |\n"]
    for key in section.model_fields:
        dotted = f"{name}.{key}"
        default, text = _shown(getattr(defaults, key)), texts[key].replace("|", "\\|")
        rows.append(f"| `{dotted}` | {default} | {options.get(dotted, '')} | {text} |\n")
    return "".join(rows)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"`{value:.4g}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201
