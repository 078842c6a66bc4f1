"""A sampling run's folder: what lies in it, and how an unfinished one is found again."""

import shlex
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from qhybrid.files import InFolder, checked, read_json, reading, user_path
from qhybrid.run_folder import Run
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid_circuits.errors import RequestError

EVALUATE = "evaluate"
"""What the names begin with of folders that `qhybrid evaluate RUN` draws into."""


@dataclass(frozen=True)
class SamplingRun:
    """A sampling run's folder.

    Attributes:
        folder: Its path; everything below lies in it.
    """

    folder: Path

    images_file = InFolder("images.npz")
    """The images: uint8 (N, H, W, C) under the key `images`.

    Where the model is told a class, `labels` (N,) has its place in the manifest's `classes`.
    """
    grid_file = InFolder("grid.png")
    """The images side by side (PNG)."""
    animation_file = InFolder("denoising.gif")
    """From noise to images (GIF)."""
    states_file = InFolder("states.npz")
    """Quantum states, where the model draws such: complex128 (N, d) under the key `states`."""
    fidelity_file = InFolder("fidelity.png")
    """Their fidelity with the states of the data at each step (PNG)."""
    manifest_file = InFolder("manifest.json")
    """How the images were made (JSON)."""
    noise_file = InFolder("noise.npz")
    """Noise that was measured beforehand, where any was: float32 (n,) under `numbers`."""
    plan_file = InFolder("plan.json")
    """What was asked for (JSON), so that the run can be resumed."""
    parts_folder = InFolder("parts")
    """The images that are drawn so far, until all are."""
    jobs_folder = InFolder("jobs")
    """The record of all jobs on a QPU."""

    @property
    def drawn_file(self) -> Path:
        """The file of what was drawn: of quantum states where it is there, else of images."""
        return self.states_file if self.states_file.is_file() else self.images_file

    def _repr_png_(self) -> bytes | None:
        """Return the picture of what was drawn for a notebook."""
        pictures = [path for path in (self.grid_file, self.fidelity_file) if path.is_file()]
        return pictures[0].read_bytes() if pictures else None

    def part_file(self, part: range) -> Path:
        """The images with these numbers (safetensors)."""
        return self.parts_folder / f"{part.start:08d}.safetensors"

    def clear_parts(self) -> None:
        """Remove the parts once the manifest is there; a process that was killed may not have."""
        shutil.rmtree(self.parts_folder, ignore_errors=True)

    def kept_plan(self) -> dict[str, Any]:
        """Read what makes the images, as `SamplingPlan.lasting` says it, and the `weights`.

        Raises:
            RequestError: The file is damaged.
        """
        with reading(f"'{self.plan_file}' cannot be read", "start anew with another --out"):
            return read_json(self.plan_file, dict[str, Any])

    def plan(self) -> SamplingRequest:
        """Read the request that makes the images.

        Raises:
            RequestError: The file is damaged.
        """
        with reading(f"'{self.plan_file}' cannot be read", "start anew with another --out"):
            kept = self.kept_plan()
            kept.pop("weights", None)
            names = {entry.name for entry in fields(ExecutionRequest)} & kept.keys()
            execution = {name: kept.pop(name) for name in names}
            unknown = kept.keys() - {entry.name for entry in fields(SamplingRequest)}
            if unknown:
                raise ValueError(f"a sampling run has no {min(unknown)}")
            return checked(SamplingRequest, {**kept, "execution": execution})

    def resume_command(self, run: Run) -> str:
        """The command line that continues this sampling run."""
        return shlex.join(
            ["qhybrid", "sample", str(run.folder), "--resume", "--out", str(self.folder)]
        )

    def going_on(self, run: Run) -> str:
        """How to continue it; drawing alone is half of an evaluation."""
        if self.folder.name.startswith(f"{EVALUATE}-"):
            return "the same command goes on"
        return f"go on with: {self.resume_command(run)}"


def unfinished(run: Run, folder: Path | str | None) -> SamplingRun:
    """Return the sampling run to go on with: the one in `folder`, else the run's newest.

    Raises:
        RequestError: There is none, or it is finished.
    """
    if folder is not None:
        sampling = SamplingRun(user_path(folder))
        if not sampling.plan_file.is_file():
            raise RequestError(
                f"'{sampling.folder}' holds no sampling run to resume: it has no plan.json; start "
                "one without --resume"
            )
        if sampling.manifest_file.is_file():
            sampling.clear_parts()
            raise RequestError(
                f"the sampling run in '{sampling.folder}' is finished; draw more with another --out"
            )
        return sampling
    known = [SamplingRun(path.parent) for path in run.samplings.glob("*/plan.json")]
    left = [sampling for sampling in known if not sampling.manifest_file.is_file()]
    if not left:
        raise RequestError(
            f"'{run.samplings}' holds no unfinished sampling run to resume; name its folder with "
            "--out, or leave out --resume"
        )
    return max(left, key=lambda sampling: sampling.plan_file.stat().st_mtime)
