"""QPUs that are no longer in service, known without asking any account."""

from collections.abc import Mapping

#: Retired QPU -> the day of its retirement, as IBM Quantum announced it.
RETIRED: Mapping[str, str] = {
    "ibm_sherbrooke": "2025-07-31",
    "ibm_brisbane": "2025-11-03",
    "ibm_torino": "2026-04-01",
    "ibm_brussels": "2026-04-27",
    "ibm_strasbourg": "2026-04-27",
}


def retirement(name: str, offered: tuple[str, ...] | None) -> str:
    """Return one line about a QPU of `RETIRED`, and those offered instead; None if not known."""
    if offered is None:
        instead = "`--backend ibm` takes the least busy device of an account"
    elif offered:
        instead = f"the account offers {', '.join(offered)}"
    else:
        instead = "the account offers no device at present"
    fake = f"fake_{name.removeprefix('ibm_')}"
    return (
        f"backend '{name}' was retired on {RETIRED[name]}; {instead}; `{fake}` runs offline with "
        "its last calibration"
    )
