"""Pages of documentation: their blocks of Python, and their commands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S.*\n)+")
_LAUNCHED = r"(?:for .* do|torchrun .*-m|srun|mpirun .*-m|mpirun .*)"
_COMMAND = re.compile(rf"\s*(?:{_LAUNCHED} )?((?:qhybrid [a-z]|python3?|pytest) ?.*)")


def python_blocks(page: Path) -> list[str]:
    """Return the blocks of Python."""
    return [text for kind, text in _FENCED.findall(page.read_text("utf-8")) if kind == "python"]


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command: all of blocks of a shell, the known ones of others."""
    text = page.read_text("utf-8")
    blocks = [(kind, block) for kind, block in _FENCED.findall(text) if kind in ("", "sh", "bash")]
    blocks += [("", block) for block in _INDENTED.findall(_FENCED.sub("", text))]
    for kind, block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            found = _COMMAND.match(line)
            if found or kind == "sh":
                yield from _split(found[1] if found else line)


def _split(line: str) -> Iterator[list[str]]:
    """Yield the commands of a line; what a command's output is written to is left out."""
    line = re.sub(r"\s[<>]+\s*\S+", "", line)
    words: list[str] = []
    for word in [*shlex.split(re.sub(r"(?<=\s)[|&]+|;(?=\s)", " ; ", line), comments=True), ";"]:
        if word != ";":
            words.append(word)
        elif words:
            yield words
            words = []


def inline_commands(page: Path) -> list[tuple[str, list[str]]]:
    """Return name and flags of the commands in the text."""
    spans = re.findall(r"`qhybrid ([a-z][a-z-]*)([^`]*)`", _FENCED.sub("", page.read_text("utf-8")))
    return [(name, re.findall(r"--[a-z-]+", rest)) for name, rest in spans]


def tags(page: Path) -> list[str]:
    """Return what a browser takes for tags of HTML, and shows nothing of, outside of code."""
    text = _FENCED.sub("", page.read_text("utf-8"))
    text = re.sub(r"`[^`]*`", "", re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE))
    return re.findall(r"</?[A-Za-z][^>\n]*>", text)
