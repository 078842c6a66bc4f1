"""Mitigations of errors by name, each a combination of options of IBM's client."""

from dataclasses import dataclass
from typing import Literal

from qhybrid_circuits import RequestError

Name = Literal["none", "readout", "dd", "twirl", "zne", "pec"]


@dataclass(frozen=True)
class Mitigation:
    """What a mitigation asks of the client's Estimator.

    Attributes:
        resilience_level: 0 none, 1 readout, 2 extrapolation to no noise.
        dynamical_decoupling: Whether pulses are played on qubits that wait.
        twirling: Whether gates are twirled; None leaves it to the resilience level.
        pec: Whether the noise of gates is cancelled (probabilistic error cancellation).
    """

    resilience_level: int
    dynamical_decoupling: bool = False
    twirling: bool | None = None
    pec: bool = False

    @property
    def twirls(self) -> bool:
        """Whether gates are twirled, which fractional gates cannot be."""
        return bool(self.twirling) or self.resilience_level == 2


#: All but the first correct readout errors, which costs least.
MITIGATIONS = {
    "none": Mitigation(0, twirling=False),
    "readout": Mitigation(1),
    "dd": Mitigation(1, dynamical_decoupling=True),
    "twirl": Mitigation(1, twirling=True),
    "zne": Mitigation(2),
    "pec": Mitigation(1, twirling=True, pec=True),
}

#: Chooses among `FRONT`.
AUTO = "auto"

#: Those that are worth their QPU seconds, the most accurate first; as measured in docs/hardware.md.
FRONT: tuple[Name, ...] = ("zne", "readout", "none")

#: What `auto` is where the circuits are not known yet.
USUAL: Name = "readout"

#: Estimated success probability (ESP) up to which extrapolation pays. Above it, what it adds to the
#: statistical error is more than the error of gates that it removes: of the two circuits measured,
#: it pays for HQConv, with 0.45, and not for qlatent's, with 0.65.
WORTH_EXTRAPOLATING = 0.55


def mitigation_named(name: str, *, fractional: bool = False) -> Mitigation:
    """Return a mitigation by its name; `auto` without a limit of QPU seconds.

    Raises:
        RequestError: There is none of this name, or it twirls `fractional` gates.
    """
    found = MITIGATIONS.get(USUAL if name == AUTO else name)
    if found is None:
        raise RequestError(
            f"Argument `mitigate` must be one of {', '.join((*MITIGATIONS, AUTO))}, but is {name!r}"
        )
    if fractional and found.twirls:
        raise RequestError(
            f"--mitigate {name} and --fractional do not go together: it twirls gates, and "
            "fractional gates are not Clifford gates; leave one of them out, or use "
            "--mitigate readout"
        )
    return found


def front(*, fractional: bool) -> tuple[Name, ...]:
    """Return the names that `auto` chooses among, the most accurate first."""
    return tuple(name for name in FRONT if not (fractional and MITIGATIONS[name].twirls))


def pays(name: Name, success: float | None) -> bool:
    """Return whether a mitigation of the front removes more error than it adds, by the ESP."""
    return name != "zne" or (success is not None and success <= WORTH_EXTRAPOLATING)
