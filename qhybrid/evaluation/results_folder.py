"""Where the results of an evaluation go."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from qhybrid.evaluation.subject import Subject
from qhybrid.files import clear_leftovers, user_path
from qhybrid.run_folder import check_free, claim_folder, claim_next, numbered
from qhybrid.run_lock import locked
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.files import LEFTOVER

EVALUATIONS = Path("evaluations")
"""Where results go that belong to no sampling run."""

PICTURE, NEAREST, RESULTS = "memorization.png", "nearest.npz", "evaluation.json"
"""Names of the files; the results come last."""


@contextmanager
def claimed(subject: Subject | None, out: Path | str | None) -> Iterator[Path]:
    """Claim the folder of the results; an empty one is removed when something goes wrong.

    One that an evaluation left unfinished, since it was killed, is taken first.

    Raises:
        RequestError: It has something else in it, cannot be created, or another process has it.
    """
    with ExitStack() as stack:
        for folder in _folders(subject, out):
            try:
                stack.enter_context(locked(folder, "evaluating into"))
            except RequestError:
                if out is not None:
                    raise
                continue
            if is_unfinished(folder):
                break
        clear_leftovers(folder)
        try:
            yield folder
        except BaseException:
            with suppress(OSError):
                folder.rmdir()
            raise


def check_results_folder(out: Path | str) -> None:
    """Refuse a folder that results would mix with.

    Raises:
        RequestError: It has something in it that an evaluation would not write anew.
    """
    if not is_unfinished(user_path(out)):
        check_free(Path(out))


def is_unfinished(folder: Path) -> bool:
    """Whether there is nothing but what an evaluation writes before its results."""
    if not folder.is_dir():
        return False
    found = {*folder.iterdir()} - {*folder.glob(LEFTOVER)}
    return {path.name for path in found} <= {PICTURE, NEAREST}


def _folders(subject: Subject | None, out: Path | str | None) -> Iterator[Path]:
    """Yield folders until one is free."""
    if out is not None:
        folder = user_path(out)
        yield folder if is_unfinished(folder) else claim_folder(folder)
        return
    if subject is not None and subject.kind == "sampling":
        root, stem = subject.path, "evaluation"
    else:
        root, stem = EVALUATIONS, "array" if subject is None else subject.label
    there = numbered(root, stem).values()
    yield from (each for each in there if is_unfinished(each) and not each.is_symlink())
    while True:
        yield claim_next(root, stem)
