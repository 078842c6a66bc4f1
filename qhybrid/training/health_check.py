"""A warning of weights that training could not change."""

from functools import partial

from rich.console import Console

from qhybrid.models.spec import ModelSpec
from qhybrid.printing import print_lines
from qhybrid.report.model_circuits import examine, random_model
from qhybrid_circuits.caching import Cache
from qhybrid_runtime.health.model import ModelHealth

#: What was found about models; runs with several seeds have the same.
_FINDINGS: Cache[str] = Cache(64)


def warn_of_idle_weights(console: Console, spec: ModelSpec, device: str) -> None:
    """Say in one line if training cannot change what a model does with some of its weights.

    The model is built anew on the exact engine, so that neither a device nor the run's own random
    numbers are touched. A look in single precision takes a moment, since its kernels are those of
    the training on this device; what it finds is confirmed in double precision.
    """
    finding = _FINDINGS.get((spec, device), partial(_look, spec, device))
    if finding:
        print_lines(console, {"warning": finding})


def _look(spec: ModelSpec, device: str) -> str:
    if not _finding(examine(random_model(spec).to(device), spec)):
        return ""
    return _finding(examine(random_model(spec).double(), spec))


def _finding(health: ModelHealth) -> str:
    found = []
    if health.dead_weights:
        found.append(
            f"{health.dead_weights} of the {health.num_weights} circuit weights have no effect on "
            "the model's output"
        )
    broken = health.parameters_without_gradient
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        found.append(f"no gradient reaches {broken[0]}{more}")
    return "; ".join([*found, "see `qhybrid report`"]) if found else ""
