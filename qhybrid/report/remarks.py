"""What a reader of a report should not miss, in lines."""

from collections.abc import Mapping
from typing import Any

from qhybrid.influence import in_words
from qhybrid.models.row import CONTROL
from qhybrid.models.rows import MODELS
from qhybrid.report.sections import examined, more


def remarks(content: Mapping[str, Any]) -> list[str]:
    """Return what was found about the subject: weights without effect, what circuits change."""
    found = []
    for circuit, health in examined(content["reports"]):
        for what in ("weights", "inputs"):
            if dead := health[f"dead_{what}"]:
                total = f"{health[what]} {what} of {circuit}"
                found.append(f"{dead} of the {total} have no effect on any output")
    model = content["model"]
    if model is not None and model["health"] is not None:
        dead, count = model["health"]["dead_weights"], model["health"]["weights"]
        if dead:
            found.append(
                f"{dead} of the model's {count} circuit weights have no effect on its output"
            )
        broken = model["health"]["parameters_without_gradient"]
        if broken:
            found.append(f"no gradient reaches {', '.join(broken[:3])}" + more(broken, 3))
    if content["subject"]["kind"] == "run" and model["influence"]:
        control = content["subject"]["model"].endswith(CONTROL)
        found.append(in_words(model["influence"], control=control))
    return found


def hints(content: Mapping[str, Any]) -> list[str]:
    """Return what the report does not have, why, and how to get it; nothing is wrong there."""
    found = []
    row = None if content["model"] is None else MODELS.get(content["subject"]["model"])
    if row is not None and row.alone:
        found.append("the model is nothing but circuits: their influence on it is not measured")
    if row is not None and row.process.exact:
        found.append("no QPU draws from it, which needs exact values: there is no bill")
    if not content["reports"]:
        found.append("the model has no circuits: there is nothing to run on a device")
    elif all(report["target"] is None for report in content["reports"]):
        found.append("no device was named: add --target fake_fez to see what it costs there")
    return found
