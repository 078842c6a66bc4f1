"""The documentation site: `sphinx-build -W docs build/site`; nothing needs the network."""

import importlib
import inspect
import operator
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from docutils.nodes import SkipNode, math, math_block
from docutils.utils.math.latex2mathml import tex2mathml

from qhybrid.cli.reference import reference
from qhybrid.version import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).parents[1]
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]

FOLDERS = {"qhybrid": "", "qhybrid_circuits": "circuits/", "qhybrid_runtime": "runtime/"}

project = html_title = "qhybrid"
author = "The qhybrid developers"
release = version = __version__
extensions = [
    "myst_nb",
    "qiskit_sphinx_theme",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.linkcode",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_templates", "generated"]
templates_path = ["_templates"]
html_theme = "qiskit-ecosystem"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_show_copyright = False
smartquotes_action = "D"  # dashes; quotes and dots as they are written
highlight_language = "none"

# Links to headings are those that GitHub makes. Notebooks keep the outputs that they hold.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"
nb_execution_mode = "off"

# Docstrings are Google's style with Markdown's backticks.
default_role = "literal"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autosummary_generate = False
autoclass_content = "both"  # constructors have docstrings of their own
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "member-order": "bysource"}
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 72


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Return where the source of a class or function is in the repository."""
    try:
        thing = operator.attrgetter(info["fullname"])(importlib.import_module(info["module"]))
        thing = inspect.unwrap(thing)
        folder = FOLDERS[thing.__module__.partition(".")[0]]
        lines, first = inspect.getsourcelines(thing)
    except (AttributeError, KeyError, TypeError, OSError):  # data, and what is not ours
        return None
    file = f"{folder}{thing.__module__.replace('.', '/')}.py"
    return f"{SOURCE}/blob/main/{file}#L{first}-L{first + len(lines) - 1}"


def setup(app: "Sphinx") -> None:
    """Connect what makes pages from files outside of this folder, and links to them."""
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))
    app.connect("source-read", _complete)
    app.connect("include-read", _include)
    app.connect("autodoc-process-docstring", _escape)
    app.connect("html-page-context", _attend, priority=900)  # after the theme's


def _formula(translator: "HTML5Translator", node: math | math_block) -> None:
    """Write a formula as browsers read it; MathJax, the default, would be loaded from elsewhere."""
    translator.body.append(tex2mathml(node.astext(), as_block=isinstance(node, math_block)))
    raise SkipNode


def _complete(app: "Sphinx", page: str, source: list[str]) -> None:
    if page == "cli":
        source[0] += reference()
    if not page.startswith("notebooks/"):  # whose links stay in docs
        source[0] = _outward(source[0])


def _include(app: "Sphinx", path: Path, page: str, source: list[str]) -> None:
    """Links of the repository's root, such as `docs/models.md`, as they are from this folder."""
    source[0] = _outward(re.sub(r"(\]\()(?!https?://|#)", r"\1../", source[0]))


def _outward(text: str) -> str:
    """Return a page whose links out of `docs` lead into the repository, or to their own pages."""
    text = re.sub(r"(\]\()\.\./docs/", r"\1", text)
    for page in ("CONTRIBUTING.md", "CHANGELOG.md"):
        text = text.replace(f"](../{page}", f"]({page.lower()}")
    return re.sub(r"(\]\()\.\./", rf"\1{SOURCE}/blob/main/", text)


def _attend(app: "Sphinx", page: str, template: str, context: dict[str, str], tree: object) -> None:
    """Add what keyboards and screen readers need, and Sphinx and its theme leave out."""
    for part in {"body", "furo_navigation_tree"} & context.keys():
        text = context[part].replace('role="heading"', 'role="heading" aria-level="2"')
        # What is too wide scrolls by keys, too.
        text = re.sub(r'<(?=pre\b|div class="table-wrapper)(\w+)', r'<\1 tabindex="0"', text)
        # Parameters that stand below one another are written as definitions of nothing.
        context[part] = re.sub(
            r"<dl>\s*<dd>.*?</dl>",
            lambda found: re.sub(r"<(dl|dd)>", r'<\1 role="none">', found[0]),
            text,
            flags=re.DOTALL,
        )


def _escape(
    app: "Sphinx", what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Leave bars of kets and stars of products alone, which mean something else to docutils."""
    block = False
    for number, line in enumerate(lines):
        block = line.lstrip().startswith(">>>") or (block and bool(line.strip()))
        if line.startswith(":vartype"):  # names without their modules
            lines[number] = re.sub(r"\b(?:\w+\.)+(?=[A-Z])", "", line)
        elif not block:
            parts = line.split("`")
            parts[::2] = [re.sub(r"[|*](?=\S)|^(?=s\b)", r"\\\g<0>", part) for part in parts[::2]]
            lines[number] = "`".join(parts)
