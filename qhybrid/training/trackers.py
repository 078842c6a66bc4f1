"""Trackers of experiments that a run's figures go to, beside its own files."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from rich.console import Console

from qhybrid.files import read_json, reading, write_json
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import flatten
from qhybrid.settings.trackers import TENSORBOARD

PROJECT = "qhybrid"
"""What the project, or experiment, is called there."""


class _Service(Protocol):
    """What is asked of a tracker; Lightning's loggers are such."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None: ...

    def finalize(self, status: str) -> None: ...


class _Trackio:
    """Trackio behind the methods of Lightning's loggers, which have none for it."""

    def __init__(self, run: Run, key: str, config: Mapping[str, Any]) -> None:
        import trackio

        name = f"{run.folder.name}-{key}"
        self._run = trackio.init(PROJECT, name=name, config=dict(config), resume="allow")

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self._run.log(metrics, step=step)

    def finalize(self, status: str) -> None:
        self._run.finish()


def _wandb(run: Run, key: str, config: Mapping[str, Any]) -> _Service:
    """Return Lightning's logger; WANDB_MODE=offline keeps all in the run's folder."""
    from pytorch_lightning.loggers import WandbLogger

    logger: Any = WandbLogger(
        project=PROJECT, name=run.folder.name, id=key, save_dir=str(run.folder), resume="allow"
    )
    logger.log_hyperparams(dict(config))
    return _Finishing(logger, lambda: logger.experiment.finish())


def _mlflow(run: Run, key: str, config: Mapping[str, Any]) -> _Service:
    """Return Lightning's logger, for MLFLOW_TRACKING_URI or a database in the run's folder."""
    import mlflow
    from pytorch_lightning.loggers import MLFlowLogger

    place = os.environ.get("MLFLOW_TRACKING_URI")
    place = place or f"sqlite:///{(run.folder / 'mlflow.db').absolute()}"
    # A run of the same key that is there already is gone on with.
    client = mlflow.MlflowClient(place)
    found = client.get_experiment_by_name(PROJECT)
    query = f"tags.key = '{key}'"
    there = client.search_runs([found.experiment_id], query) if found is not None else []
    logger: Any = MLFlowLogger(
        experiment_name=PROJECT,
        run_name=run.folder.name,
        tracking_uri=place,
        tags={"key": key},
        run_id=there[0].info.run_id if there else None,
    )
    if not there:
        logger.log_hyperparams(dict(config))
    service: _Service = logger
    return service


class _Finishing:
    """A logger that is also told to write what it holds back."""

    def __init__(self, logger: Any, finish: Callable[[], None]) -> None:
        self._logger, self._finish = logger, finish

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self._logger.log_metrics(metrics, step)

    def finalize(self, status: str) -> None:
        self._logger.finalize(status)
        self._finish()


_SERVICES: dict[str, Callable[[Run, str, Mapping[str, Any]], _Service]] = {
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _Trackio,
}


class Tracker:
    """Hands figures to a tracker; what fails there is told once, and the run goes on without it."""

    def __init__(self, run: Run, config: Config, console: Console) -> None:
        """Set up for the tracker that the configuration names; TensorBoard is the run's own."""
        self._run, self._config, self._console = run, config, console
        self._name = config.training.tracker
        self._service: _Service | None = None

    def open(self) -> None:
        """Begin, or go on with, the run there."""
        if self._name != TENSORBOARD:
            values = {k: str(v) for k, v in flatten(self._config.model_dump()).items()}
            with self._surviving():
                self._service = _SERVICES[self._name](self._run, self._key(), values)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Hand over the figures of a step."""
        service = self._service
        if service is not None:
            with self._surviving():
                service.log_metrics(dict(figures), step)

    def close(self) -> None:
        """End the session."""
        service, self._service = self._service, None
        if service is not None:
            with self._surviving():
                service.finalize("success")

    def _key(self) -> str:
        """Return what the run is called there, the same when it is resumed."""
        path = self._run.tracker_file
        if path.exists():
            with reading(f"'{path}' is not a readable record of a tracker", "delete it"):
                return str(read_json(path, dict)["key"])
        key = uuid.uuid4().hex[:8]
        write_json(path, {"tracker": self._name, "key": key})
        return key

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._service = None
            text = " ".join(str(error).split())[:300]
            self._console.print(
                f"warning: {self._name} failed and gets no more figures, which are all in "
                f"{self._run.metrics_file}: {text}",
                markup=False,
                highlight=False,
            )
