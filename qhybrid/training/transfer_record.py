"""What a run took from another one: on disk, in one screen, and known before torch is imported."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from qhybrid.files import read_json, reading, sealed, user_path, write_json
from qhybrid.models.model_file import read_spec
from qhybrid.models.spec import ModelSpec
from qhybrid.run_folder import Run, open_run

_NAMED = 4


@dataclass(frozen=True)
class TransferRecord:
    """Which weights of a run came from another run.

    Attributes:
        source: The other run's folder.
        model: The other run's model.
        sha256: Of the other run's model file.
        taken: Tensors that came from there.
        new: Tensors that started at random.
        skipped: Tensors of the other run that have no place here or were left on purpose.
        frozen: Of those taken, the ones that training leaves as they are.
        weights: Numbers in all tensors taken.
        trained: Numbers that training changes.
    """

    source: str
    model: str
    sha256: str
    taken: tuple[str, ...]
    new: tuple[str, ...]
    skipped: tuple[str, ...]
    frozen: tuple[str, ...]
    weights: int
    trained: int

    def lines(self) -> dict[str, str]:
        """Return a short account of it: what is said -> the text."""
        total = len(self.taken) + len(self.new)
        said = {
            "from": (
                f"{self.source} ({self.model}, EMA weights): {len(self.taken)} of {total} tensors, "
                f"{self.weights:,} weights"
            )
        }
        if self.new:
            said["new"] = f"{_tensors(self.new)}: {_grouped(self.new)}"
        if self.skipped:
            said["skipped"] = f"{_tensors(self.skipped)} of that run: {_grouped(self.skipped)}"
        if self.frozen:
            said["frozen"] = f"{_tensors(self.frozen)}; {self.trained:,} weights are trained"
        return said

    def save(self, path: Path) -> None:
        """Write all of it as JSON."""
        write_json(path, sealed(asdict(self)))


def read_record(path: Path) -> TransferRecord:
    """Read what `TransferRecord.save` wrote.

    Raises:
        RequestError: The file is damaged.
    """
    remedy = "delete it to have the weights taken anew, or start a new run without --resume"
    with reading(f"'{path}' is not a readable record of transferred weights", remedy):
        return read_json(path, TransferRecord)


def source_run(folder: str) -> tuple[Run, ModelSpec]:
    """Return the run to take weights from, and its model.

    Raises:
        RequestError: There is no such run, or it has no weights yet.
    """
    run = open_run(user_path(folder))
    run.check_model(" to start from")
    return run, read_spec(run.folder)


def _tensors(names: Sequence[str]) -> str:
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'}"


def _grouped(names: Sequence[str]) -> str:
    """Return the modules that tensors belong to, two levels deep."""
    groups = list(dict.fromkeys(".".join(name.split(".")[:-1][:2]) or name for name in names))
    more = f" and {len(groups) - _NAMED} more" if len(groups) > _NAMED else ""
    return ", ".join(groups[:_NAMED]) + more
