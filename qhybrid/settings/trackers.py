"""Trackers of experiments by name; imports nothing heavy."""

from importlib.util import find_spec

from qhybrid_circuits.errors import RequestError

TENSORBOARD = "tensorboard"
"""Every run has its events; the other trackers are beside it."""

_MODULES = {
    "wandb": ("wandb", "pytorch_lightning"),
    "mlflow": ("mlflow", "sqlalchemy", "pytorch_lightning"),
    "trackio": ("trackio",),
}


def check_tracker(name: str) -> None:
    """Refuse a tracker whose packages are not installed.

    Raises:
        RequestError: They are not.
    """
    missing = [module for module in _MODULES.get(name, ()) if find_spec(module) is None]
    if missing:
        raise RequestError(
            f"--tracker {name} needs {' and '.join(missing)}, which is not installed; "
            "pip install 'qhybrid[trackers]', or leave it out: TensorBoard's events are always "
            "written"
        )
