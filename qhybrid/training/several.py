"""What several processes can train together; imports nothing heavy."""

from qhybrid.launcher import Layout
from qhybrid.settings.config import Config
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.backends.registry import check_backend_name


def check_several(config: Config, layout: Layout) -> None:
    """Refuse what several processes would train otherwise than one.

    Raises:
        RequestError: The request is of that kind.
    """
    if layout.size == 1:
        return
    training, quantum = config.training, config.quantum
    refused = {
        f"the backend '{quantum.backend}' draws the errors of a batch as a whole": (
            not check_backend_name(quantum.backend).exact
        ),
        "transfer.model trains another model first (train it alone, then use --init-from RUN)": (
            config.transfer.model is not None
        ),
    }
    for reason, applies in refused.items():
        if applies:
            raise RequestError(
                f"{reason}, which {layout.size} processes cannot share; leave --devices and "
                "--nodes out, or start one process"
            )
    if training.batch_size < layout.size:
        raise RequestError(
            f"--batch-size {training.batch_size} is too small for {layout.size} processes, which "
            "share each batch; use a larger one, or fewer processes"
        )
