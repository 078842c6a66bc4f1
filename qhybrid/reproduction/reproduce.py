"""The way into reproduction: what can be refused without torch is refused before it is imported."""

import shlex
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from qhybrid.files import read_json, reading, write_json, write_text
from qhybrid.reproduction.outcome import ReproductionInterrupted
from qhybrid.reproduction.plan import Plan, make_plan
from qhybrid.reproduction.request import ReproductionRequest
from qhybrid.reproduction.results import collect
from qhybrid.run_folder import claim_folder
from qhybrid.run_lock import locked
from qhybrid.sampling.outcome import SamplingInterrupted
from qhybrid.training.outcome import Interrupted
from qhybrid_circuits.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console


def reproduce(request: ReproductionRequest, *, console: "Console | None" = None) -> dict[str, Any]:
    """Run the experiments of a paper, or go on with them, and return what they found.

    Everything lies in `request.folder`, and what is there already is not done again: finished runs
    and evaluations are kept, and an unfinished run goes on at its newest checkpoint.

    Args:
        request: Which paper, tables and rows, and how large.
        console: Where progress is shown; None shows nothing.

    Raises:
        RequestError: The request is wrong, a data set cannot be read, or the folder holds other
            results.
        ReproductionInterrupted: Ctrl-C or SIGTERM.
        QHybridError: A run diverged, or the disk is full; the same request goes on.
    """
    plan = make_plan(request)
    _claim(plan)
    with nullcontext() if console is None else console.status("loading torch"):
        from qhybrid.reproduction.execute import execute

    with locked(plan.folder, "reproducing into"):
        try:
            execute(plan, console, lambda: save(plan))
        except (Interrupted, SamplingInterrupted, KeyboardInterrupt) as stop:
            content = save(plan)
            done, planned = content["evaluations"]["done"], content["evaluations"]["planned"]
            raise ReproductionInterrupted(
                f"{done} of {planned} evaluations are done; the same command goes on, results so "
                f"far are in {shlex.quote(str(plan.page_file))}"
            ) from stop
        return save(plan)


def save(plan: Plan) -> dict[str, Any]:
    """Write what has been found so far, as JSON and as a page, and return it."""
    from qhybrid.reproduction.page import page

    content = collect(plan)
    write_json(plan.results_file, content)
    write_text(plan.page_file, page(plan.folder, content))
    return content


def _claim(plan: Plan) -> None:
    """Create the folder of the results, or take one that has some.

    Raises:
        RequestError: The folder has something else in it, or cannot be created.
    """
    folder, other = plan.folder, "choose another folder with --out"
    if not (folder.is_dir() and any(folder.iterdir())):
        claim_folder(folder)
        write_json(plan.claim_file, plan.claim())
    if not plan.claim_file.is_file():
        raise RequestError(f"'{folder}' is not empty, and has no results of a paper; {other}")
    with reading(f"'{plan.claim_file}' is damaged", other):
        found = read_json(plan.claim_file, dict[str, str])
        if found != plan.claim():
            raise RequestError(
                f"'{folder}' has results of '{found['paper']}' at scale {found['scale']}; {other}"
            )
