"""Whether nothing of a run is left to do; imports nothing heavy."""

from qhybrid.influence import read_influence
from qhybrid.models.rows import MODELS
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config


def is_complete(run: Run, config: Config) -> bool:
    """Whether all steps are done, and all is made of them that is: a kill may have come between.

    The last grid is drawn before the checkpoint of its step, plots and influence are made after it.

    Raises:
        RequestError: influence.json is damaged.
    """
    if not (run.is_finished(config) and plots_are_current(run)):
        return False
    row = MODELS[config.model.name]
    if row.alone or not (row.circuits or row.control):
        return True
    record = read_influence(run)
    return record is not None and record.step == run.newest_step()


def plots_are_current(run: Run) -> bool:
    """Whether the plots, of which that of the loss is drawn last, show all that metrics.csv has."""
    plot, metrics = run.loss_plot, run.metrics_file
    known = plot.is_file() and metrics.is_file()
    return known and plot.stat().st_mtime_ns >= metrics.stat().st_mtime_ns
