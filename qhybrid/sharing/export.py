"""A run as a folder in the layout of the Hugging Face hub."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from qhybrid.files import user_path, write_json, write_text
from qhybrid.models.model_file import read_spec
from qhybrid.models.spec import ModelSpec
from qhybrid.run_folder import EXPORTED, Run, claim_folder
from qhybrid.sharing.card import model_card
from qhybrid.sharing.pipeline import load
from qhybrid.version import __version__
from qhybrid_circuits.errors import RequestError

if TYPE_CHECKING:
    from qiskit.transpiler import Target

    from qhybrid.sharing.circuits import WrittenCircuit

LICENCE = "apache-2.0"

_KEPT = (
    *("config.toml", "model.json", "model.safetensors", "influence.json", "noise.npz"),
    *("transfer.json", "metrics.csv", "loss.png", "figures.png"),
)
"""Files of a run that others need or may want; those with facts on the machine stay."""


def export_run(
    run: Run | Path | str,
    out: Path | str,
    *,
    licence: str = LICENCE,
    circuits: bool = False,
    target: str | None = None,
) -> Path:
    """Write a run's model, settings, model card, pictures and circuits into a new folder.

    The folder is taken by `qhybrid.from_pretrained`, and by the commands that take runs.

    Args:
        run: The run or its folder.
        out: The new folder.
        licence: The identifier, as the hub knows it, in the card.
        circuits: Whether the trained circuits are written as OpenQASM 3 and QPY.
        target: A fake QPU that they are lowered to, too.

    Raises:
        RequestError: There is no model of images; the folder is not free; or the run has no
            circuits, or there is no such QPU.

    Example:
        >>> import qhybrid
        >>> folder = qhybrid.export_run("runs/1hqconv-qvunet-digits-1", "export")
        >>> (folder / "README.md").exists()
        True
    """
    run = load(run).run
    spec = read_spec(run.folder)
    if (circuits or target) and not spec.row.circuits:
        raise RequestError(
            f"the model {spec.name} in '{run.folder}' has no circuits; leave --qasm and "
            "--target out"
        )
    qpu = None if target is None else _target(target)
    folder = claim_folder(user_path(out))
    for name in _KEPT:
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, folder / name)
    grid = run.newest_grid()
    if grid is not None:
        shutil.copyfile(grid, folder / "grid.png")
    described = {"library_name": "qhybrid", "model_type": spec.name, "qhybrid_version": __version__}
    write_json(folder / EXPORTED, {**described, "spec": spec.to_dict()})
    written: tuple[WrittenCircuit, ...] = ()
    if circuits or target:
        from qhybrid.sharing.circuits import write_circuits

        written = tuple(write_circuits(run, folder / "circuits", qpu))
    text = model_card(
        run,
        spec,
        licence=licence,
        dead=_dead_weights(spec),
        picture=grid is not None,
        written=written,
    )
    write_text(folder / "README.md", text)
    return folder


def _dead_weights(spec: ModelSpec) -> str:
    if not spec.row.circuits:
        return ""
    from qhybrid.report.model_circuits import examine, random_model

    health = examine(random_model(spec).double(), spec)
    return f"{health.dead_weights} of {health.num_weights}"


def _target(name: str) -> "Target":
    from qhybrid_runtime.backends.registry import check_backend_name

    if not check_backend_name(name).name.startswith("fake"):
        raise RequestError(f"--target must be a fake QPU, e.g. fake_fez, but is '{name}'")
    from qhybrid_runtime.hardware.targets import fake_target

    return fake_target(name)
