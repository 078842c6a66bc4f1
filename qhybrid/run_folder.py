"""The folder of a training run: what lies where, how one is claimed and how one is found."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from qhybrid.files import InFolder, user_path
from qhybrid.settings.config import Config
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.files import LEFTOVER

RUNS = Path("runs")
"""Where runs go unless told otherwise, relative to the working directory."""

GROUP_FILE = "group.toml"
"""What the folder of runs of several seeds has, see `qhybrid.run_group`."""

EXPORTED = "config.json"
"""File of an exported model, by the layout of the Hugging Face hub."""
_MARKS = ("config.toml", GROUP_FILE)


@dataclass(frozen=True)
class Run:
    """A training run's folder.

    Attributes:
        folder: Its path; everything below lies in it.

    Example:
        >>> from pathlib import Path
        >>> import qhybrid
        >>> run = qhybrid.Run(Path("runs/1hqconv-qvunet-digits-1"))
        >>> run.config().data.dataset
        'digits'
    """

    folder: Path

    config_file = InFolder("config.toml")
    """The resolved configuration (TOML)."""
    environment_file = InFolder("environment.json")
    """Versions, seed, git revision and hardware (JSON)."""
    transfer_file = InFolder("transfer.json")
    """Which weights came from another run, where any did (JSON)."""
    noise_file = InFolder("noise.npz")
    """Noise that was measured beforehand, where any was: float32 (n,) under `numbers`."""
    jobs_folder = InFolder("jobs")
    """Folder of the record of jobs on an account's QPU, where any were submitted (JSON)."""
    model_file = InFolder("model.safetensors")
    """EMA weights for inference; `model.json` beside it says how to build the model."""
    best_file = InFolder("best.safetensors")
    """The weights that the best figure was measured with."""
    best_record = InFolder("best.json")
    """Which figure that is, its value and the epoch (JSON)."""
    kept_epochs = InFolder("epochs")
    """Folder of the EMA weights of the epochs that were to be kept."""
    evaluations = InFolder("evaluations")
    """Folder of the figures measured while training, a file per epoch (JSON)."""
    reconstruction = InFolder("reconstruction.png")
    """Images and what the autoencoder of a model of latents makes of them, in rows (PNG)."""
    metrics_file = InFolder("metrics.csv")
    """One row a logging step, and one an evaluation (CSV)."""
    influence_file = InFolder("influence.json")
    """What the circuits change in the finished model, where it has any (JSON)."""
    tracker_file = InFolder("tracker.json")
    """What the run is called in a tracker of experiments, where one was asked for (JSON)."""
    loss_plot = InFolder("loss.png")
    """The loss by step and epoch (PNG)."""
    figures_plot = InFolder("figures.png")
    """The figures by epoch, of runs that were evaluated while they trained (PNG)."""
    forward_plot = InFolder("forward.png")
    """Training images at times of the diffusion (PNG)."""
    fidelity_plot = InFolder("fidelity.png")
    """How noise is added to quantum states and removed, for models of such (PNG)."""
    checkpoints = InFolder("checkpoints")
    """Folder of the full states to resume from."""
    samples = InFolder("samples")
    """Folder of the sample grids, one per epoch."""
    samplings = InFolder("samplings")
    """Folder of the sampling runs that were not sent elsewhere."""
    tensorboard = InFolder("tensorboard")
    """Folder of the TensorBoard events."""

    @property
    def pretrained(self) -> "Run":
        """The run of the model that was trained first, where `transfer.model` names one."""
        return Run(self.folder / "pretrained")

    def config(self) -> Config:
        """Read the configuration that the run was started with.

        Raises:
            RequestError: The file is damaged.
        """
        from qhybrid.settings.sources import saved_config

        return saved_config(self.config_file)

    def check_model(self, use: str = "") -> None:
        """Refuse a run that has no model yet; `use` says what for, e.g. " to start from".

        Raises:
            RequestError: There is none.
        """
        if not self.model_file.is_file():
            raise RequestError(
                f"the run '{self.folder}' has no model.safetensors{use}: it has not reached its "
                f"first checkpoint; continue it with `qhybrid train --resume --out {self.folder}`"
            )

    def epoch_weights(self, epoch: int) -> Path:
        """The weights of an epoch that was to be kept, counted from 1."""
        return self.kept_epochs / f"epoch-{epoch:03d}.safetensors"

    def weights_file(self, epoch: str | None = None) -> Path:
        """The weights of an epoch, of the `best` one, or the newest ones, if they are there.

        Raises:
            RequestError: They were not kept.
        """
        if epoch is None:
            self.check_model()
            return self.model_file
        known = {
            str(_number_of(path)): path for path in self.kept_epochs.glob("epoch-*.safetensors")
        }
        if self.best_file.is_file():
            known["best"] = self.best_file
        epoch = str(int(epoch)) if epoch.isdecimal() else epoch
        if epoch in known:
            return known[epoch]
        there = ", ".join(sorted(known, key=lambda name: (len(name), name))) or "none"
        number = epoch if epoch.isdecimal() else "N"
        keep = "--evaluate-every N" if epoch == "best" else f"--keep-epochs {number}"
        raise RequestError(
            f"the run '{self.folder}' has no weights of --epoch {epoch}; kept are: {there}; leave "
            f"--epoch out for the newest ones, or train with {keep}"
        )

    def is_finished(self, config: Config) -> bool:
        """Whether all steps of a configuration are done: the last grid is drawn then."""
        if not self.model_file.is_file() or not self.metrics_file.is_file():
            return False
        limit = config.training.max_steps
        if limit is not None and self.newest_step() >= limit:
            return True
        return self.sample_grid(config.training.epochs).is_file()

    def sample_grid(self, epoch: int) -> Path:
        """The grid that belongs to an epoch, counted from 1."""
        return self.samples / f"epoch-{epoch:03d}.png"

    def newest_grid(self) -> Path | None:
        """The newest picture of what the model draws, None where there is none yet."""
        grids = [*self.samples.glob("epoch-*.png"), *self.samplings.glob("*/grid.png")]
        return max(grids, key=lambda path: path.stat().st_mtime, default=None)

    def _repr_png_(self) -> bytes | None:
        """Return the newest picture for a notebook."""
        grid = self.newest_grid()
        return None if grid is None else grid.read_bytes()

    def checkpoint(self, step: int) -> Path:
        """The checkpoint after a number of optimizer steps."""
        return self.checkpoints / f"step-{step:07d}.ckpt"

    def saved_checkpoints(self) -> list[Path]:
        """The checkpoints that exist, oldest first."""
        return sorted(self.checkpoints.glob("step-*.ckpt"), key=_number_of)

    def newest_checkpoint(self) -> Path | None:
        """The checkpoint to resume from, or None before the first one."""
        saved = self.saved_checkpoints()
        return saved[-1] if saved else None

    def newest_step(self) -> int:
        """Optimizer steps done at the newest checkpoint; 0 before the first one."""
        newest = self.newest_checkpoint()
        return _number_of(newest) if newest else 0


def open_run(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        RequestError: There is no run in it.
    """
    run = Run(user_path(folder))
    if run.config_file.is_file():
        return run
    folder = run.folder
    if not folder.exists():
        missing = f"there is no folder '{folder}'"
    elif not folder.is_dir():
        missing = f"'{folder}' is a file, not a run folder"
        if folder.suffix in (".qasm", ".qpy"):
            raise RequestError(f"{missing}; `qhybrid bill {folder}` says what its circuits cost")
    elif (folder / GROUP_FILE).is_file():
        raise RequestError(
            f"'{folder}' is a group of runs with different seeds; name one of them, e.g. "
            f"{min(folder.glob('seed-*'), default=folder / 'seed-0')}"
        )
    else:
        missing = f"'{folder}' is not a run folder: it has no config.toml"
    raise RequestError(f"{missing}; {_guess(folder)}`qhybrid train` makes a run")


def newest_folder(root: Path = RUNS) -> Path:
    """The folder of the run, or the group of runs, under `root` that was started or saved last.

    Raises:
        RequestError: There is none.
    """
    newest: dict[Path, float] = {}
    for level in ("*", "*/seed-*"):
        for name in ("config.toml", GROUP_FILE, "checkpoints/step-*.ckpt"):
            for path in root.glob(f"{level}/{name}"):
                folder = root / path.relative_to(root).parts[0]
                newest[folder] = max(newest.get(folder, 0.0), path.stat().st_mtime)
    found = [path for path in newest if any((path / n).is_file() for n in _MARKS)]
    if not found:
        raise RequestError(
            f"there is no run in '{root}/' to resume; start one with `qhybrid train`, or name its "
            "folder with --out"
        )
    return max(found, key=lambda folder: newest[folder])


def claim_folder(folder: Path) -> Path:
    """Create a folder for new output.

    Raises:
        RequestError: The folder has something in it already, or cannot be created.
    """
    folder = user_path(folder)
    check_free(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"cannot create the folder '{folder}': {error.strerror}; choose another with --out"
        ) from error
    return folder


def check_free(folder: Path) -> None:
    """Refuse a folder that output would mix with.

    Raises:
        RequestError: The folder has something in it already, or is a file.
    """
    folder = user_path(folder)
    if all((folder / mark).exists() for mark in (EXPORTED, _MARKS[0])):
        raise RequestError(f"'{folder}' holds an exported model; choose another --out")
    if any((folder / mark).exists() for mark in _MARKS):
        raise RequestError(
            f"'{folder}' holds a run already; continue it with `qhybrid train --resume --out "
            f"{folder}` or choose another --out"
        )
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"'{folder}' is a file; choose another --out")
    # What a killed process had begun to write is in nobody's way.
    if folder.is_dir() and {*folder.iterdir()} - {*folder.glob(LEFTOVER), *unused_runs(folder)}:
        raise RequestError(f"'{folder}' is not empty; choose another --out")


def unused_runs(folder: Path) -> list[Path]:
    """The empty folders of runs; a group that was killed at its start has nothing else."""
    found = (path for path in folder.glob("seed-*") if path.is_dir() and not path.is_symlink())
    return [path for path in found if not any(path.iterdir())]


def usual_name(config: Config) -> str:
    """The name of a run's folder, without its number, unless told otherwise."""
    return f"{config.model.name}-{Path(config.data.dataset).stem}"


def claim_next(root: Path, stem: str) -> Path:
    """Create `root/STEM-N` with the next free N, safe against another process doing the same.

    Raises:
        RequestError: It cannot be created.
    """
    name = _safe_name(stem)
    try:
        root.mkdir(parents=True, exist_ok=True)
        number = max(numbered(root, stem), default=0)
        while True:
            number += 1
            try:
                (root / f"{name}-{number}").mkdir()
            except FileExistsError:
                continue
            return root / f"{name}-{number}"
    except OSError as error:
        raise RequestError(
            f"cannot create a folder in '{root}': {error.strerror}; choose one with --out"
        ) from error


def numbered(root: Path, stem: str) -> dict[int, Path]:
    """Return what there is as `root/STEM-N`, by N in order."""
    name = _safe_name(stem)
    tails = {entry.name.removeprefix(f"{name}-"): entry for entry in root.glob(f"{name}-*")}
    return dict(sorted((int(n), path) for n, path in tails.items() if n.isdecimal()))


def _safe_name(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", stem).strip("-.") or "run"


def _number_of(path: Path) -> int:
    """The number in `step-0000123.ckpt` or `epoch-010.safetensors`."""
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _runs_in(root: Path) -> list[Run]:
    return [Run(config.parent) for config in root.glob("*/config.toml") if config.is_file()]


def _guess(folder: Path) -> str:
    """The run with the nearest name, beside the folder or in `runs/`, as a clause."""
    names = {
        run.folder.name: run.folder for root in {folder.parent, RUNS} for run in _runs_in(root)
    }
    near = difflib.get_close_matches(folder.name, names, n=1, cutoff=0.5)
    return f"did you mean {names[near[0]]}? " if near else ""
