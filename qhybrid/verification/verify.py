"""Run tools on circuits and judge their answers."""

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from qhybrid.verification.case import Case, Quantity, find_cases
from qhybrid.verification.gates import UntranslatedError
from qhybrid.verification.tool import EXACT, Tool, Verdict
from qhybrid_circuits.ansatz_registry import ANSATZE
from qhybrid_circuits.errors import UnknownNameError

_LONGEST = 200
"""Characters of a message that are kept."""


_MOST_SHIFTED = 40
"""Parameters of a circuit of which tools are asked that shift one after the other."""


@dataclass(frozen=True)
class Finding:
    """What one tool answered to one case.

    Attributes:
        tool: The package, and how it was used.
        version: The package's version, None where it is absent.
        case: The circuit and the quantity.
        verdict: Whether the answer is right; refused where the tool raised an exception.
        error: The largest absolute error, None where there is no answer.
        issues: Reports upstream, for what is not right.
        message: Why it was refused or not asked, or what is known about wrong answers.
    """

    tool: str
    version: str | None
    case: str
    verdict: Verdict
    error: float | None = None
    issues: tuple[str, ...] = ()
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def find_tools(packages: Sequence[str] = ()) -> tuple[Tool, ...]:
    """Return the rows of the table, those of some packages or all.

    Raises:
        UnknownNameError: There is no tool of a package.
    """
    from qhybrid.verification import other_tools, qiskit_tools

    tools = (*qiskit_tools.TOOLS, *other_tools.TOOLS)
    known = tuple(dict.fromkeys(tool.package for tool in tools))
    for package in packages:
        if package not in known:
            raise UnknownNameError("package", package, known)
    return tuple(tool for tool in tools if not packages or tool.package in packages)


def verify(
    names: Sequence[str] = (),
    tools: Sequence[Tool] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Return what each tool makes of each circuit, tool by tool.

    Args:
        names: Ansätze, gates, models and folders of runs; none for all built-in ansätze.
        tools: The tools to ask; None for all.
        tell: Told what is worked on.

    Raises:
        UnknownNameError: A name is neither of an ansatz, a parameterized gate, a model nor a run.
        RequestError: A model has no circuits, or a run cannot be used.
    """
    cases = [case for name in dict.fromkeys(names or ANSATZE) for case in find_cases(name)]
    right: dict[tuple[str, Quantity], np.ndarray] = {}
    findings = []
    for tool in find_tools() if tools is None else tools:
        for case in cases:
            tell(f"{tool.package} {tool.name}: {case.name}")
            if tool.shifts and len(case.point) > _MOST_SHIFTED:
                findings.append(_left_out(tool, case))
                continue
            key = (case.name, tool.quantity)
            if tool.version is not None and key not in right:
                right[key] = case.reference(tool.quantity)
            findings.append(_judge(tool, case, right.get(key)))
    return findings


def _named(tool: Tool, case: Case) -> tuple[str, str | None, str]:
    return f"{tool.package} {tool.name}", tool.version, f"{case.name} {tool.quantity}"


def _left_out(tool: Tool, case: Case) -> Finding:
    said = f"not asked: gradients by shifts of {len(case.point)} parameters take it minutes"
    return Finding(*_named(tool, case), "absent", message=said)


def _judge(tool: Tool, case: Case, right: np.ndarray | None) -> Finding:
    named = _named(tool, case)
    if tool.version is None or right is None:
        return Finding(*named, "absent")
    try:
        with _silenced():
            answer = tool.answer(case)
    except UntranslatedError as error:
        return Finding(*named, "absent", message=f"not asked: {error}")
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
        return _explained(Finding(*named, "refused", message=said), tool)
    if answer.shape != right.shape or not np.isfinite(answer).all():
        said = f"shape {answer.shape} for {right.shape}, or numbers that are not finite"
        return _explained(Finding(*named, "wrong", message=said), tool)
    off = float(np.abs(answer - right).max())
    if off <= EXACT:
        return Finding(*named, "right", off)
    return _explained(Finding(*named, "wrong", off), tool)


def _explained(finding: Finding, tool: Tool) -> Finding:
    """Add what is known about a tool's failure, where it is this one."""
    if finding.verdict != tool.known or not tool.issues:
        return finding
    return replace(finding, issues=tuple(tool.issues), message=tool.note)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep what tools warn of and log off the table."""
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
