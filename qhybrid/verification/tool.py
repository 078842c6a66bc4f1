"""What a row of the truth table is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from qhybrid.verification.case import Case, Quantity

Verdict = Literal["right", "wrong", "refused", "absent"]

EXACT = 1e-6
"""Error up to which an exact answer is right; rounding and differences stay below 1e-9."""


@dataclass(frozen=True)
class Tool:
    """A way in which a package computes a quantity, as its documentation shows.

    Attributes:
        name: The classes, and how they are used.
        package: The distribution that they are in.
        quantity: What it computes.
        answer: Returns the answer to a case, in the order of its observables and parameters.
        note: What is known to be wrong or refused, and what to do.
        issues: Reports of it upstream, as addresses.
        known: Which verdict note and issues are about.
        needs: Further distributions that the way takes.
        shifts: Whether it evaluates the circuit anew for each parameter, or pair of them.
    """

    name: str
    package: str
    quantity: Quantity
    answer: Callable[[Case], np.ndarray]
    note: str = ""
    issues: Sequence[str] = ()
    known: Verdict = "wrong"
    needs: Sequence[str] = ()
    shifts: bool = False

    @property
    def version(self) -> str | None:
        """The package's version; None where it, or what else the way takes, is absent."""
        try:
            return [version(package) for package in (*self.needs, self.package)][-1]
        except PackageNotFoundError:
            return None
