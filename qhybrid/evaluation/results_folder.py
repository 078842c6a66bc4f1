"""Where the results of an evaluation go."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qhybrid.evaluation.subject import Subject
from qhybrid.run_folder import claim_folder, claim_next

EVALUATIONS = Path("evaluations")
"""Where results go that belong to no sampling run."""


@contextmanager
def claimed(subject: Subject | None, out: Path | str | None) -> Iterator[Path]:
    """Create the folder of the results; an empty one is removed when something goes wrong."""
    if out is not None:
        folder = claim_folder(Path(out))
    elif subject is not None and subject.kind == "sampling":
        folder = claim_next(subject.path, "evaluation")
    else:
        folder = claim_next(EVALUATIONS, "array" if subject is None else subject.label)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise
