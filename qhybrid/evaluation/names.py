"""The figures by their names, and which values of them are good; imports nothing heavy."""

from collections.abc import Sequence

from qhybrid_circuits.errors import RequestError, UnknownNameError

LOW, HIGH = "low", "high"

GOOD = {
    "FID": LOW,
    "KID": LOW,
    "IS": HIGH,
    "precision": HIGH,
    "recall": HIGH,
    "density": HIGH,
    "coverage": HIGH,
    "SSIM": None,
}
"""Name -> which values are good; None where neither high nor low ones are."""


def check_figures(names: Sequence[str]) -> None:
    """Refuse names of no figure.

    Raises:
        UnknownNameError: There is no such figure.
        RequestError: None is named.
    """
    for name in names:
        if name not in GOOD:
            raise UnknownNameError("figure", name, GOOD)
    if not names:
        raise RequestError(f"no figure is named; give some of {', '.join(GOOD)}")


def check_best(name: str, names: Sequence[str]) -> None:
    """Refuse a figure that cannot say which epoch is the best.

    Raises:
        RequestError: It is not measured, or no values of it are good.
    """
    if name not in names:
        raise RequestError(
            f"evaluation.best is {name}, but evaluation.figures are {', '.join(names)}; choose one "
            "of them, or add it there"
        )
    if GOOD[name] is None:
        usable = ", ".join(each for each in GOOD if GOOD[each] is not None)
        raise RequestError(
            f"evaluation.best is {name}, of which neither high nor low values are good; choose one "
            f"of {usable}"
        )
