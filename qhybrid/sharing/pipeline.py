"""A trained model as an object that is called for images, as diffusers' pipelines are."""

import io
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from qhybrid.kinds import IMAGES
from qhybrid.models.rows import MODELS
from qhybrid.run_folder import Run, open_run
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.outcome import SamplingInterrupted
from qhybrid.sampling.plan import plan_sampling
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_runtime.backends.registry import check_backend_name

if TYPE_CHECKING:
    from torch import nn

    from qhybrid.sampling.bill import SamplingBill

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

_FILES = ["*.json", "*.toml", "*.safetensors", "noise.npz"]


@dataclass(frozen=True, repr=False)
class PipelineOutput:
    """What a pipeline drew.

    Attributes:
        images: The images.
        grid: All of them, or the first ones, side by side and enlarged.
    """

    images: list[Image.Image]
    grid: Image.Image

    def __repr__(self) -> str:
        return f"PipelineOutput({len(self.images)} images)"

    def _repr_png_(self) -> bytes:
        """Return the grid for a notebook."""
        held = io.BytesIO()
        self.grid.save(held, format="PNG")
        return held.getvalue()


class Pipeline:
    """Draws images from a trained model: `pipe(num_images=16, backend="aer").images`.

    Attributes:
        run: The folder that the model is in.

    Example:
        >>> import qhybrid
        >>> pipe = qhybrid.load("runs/1hqconv-qvunet-digits-1")
        >>> [image.size for image in pipe(num_images=2, steps=1, seed=0).images]
        [(8, 8), (8, 8)]
    """

    def __init__(self, run: Run) -> None:
        """Take a run's or an export's folder.

        Raises:
            RequestError: It has no model, or one of quantum states.
        """
        run.check_model()
        name = run.config().model.name
        if MODELS[name].process.kind is not IMAGES:
            raise RequestError(
                f"a pipeline draws images, but {name} in '{run.folder}' draws quantum states; use "
                "qhybrid.sample_run"
            )
        self.run = run

    def __repr__(self) -> str:
        return f"Pipeline({self.run.config().model.name} in {str(self.run.folder)!r})"

    def _repr_png_(self) -> bytes | None:
        """Return what the run drew last for a notebook."""
        return self.run._repr_png_()

    @cached_property
    def model(self) -> "nn.Module":
        """The network, its circuits on `statevector`."""
        from qhybrid.models.storage import load_model

        return load_model(self.run.folder).eval()

    def __call__(
        self,
        num_images: int | None = None,
        *,
        confirm: "Callable[[SamplingBill], bool] | None" = None,
        **options: Any,
    ) -> PipelineOutput:
        """Draw images; the same seed draws the same ones.

        Nothing is kept, but of images that are paid for: these are a sampling run in the folder.

        Args:
            num_images: How many; 64 where omitted.
            confirm: Asked before more than a minute of QPU time is spent; refused without it.
            options: As of `SamplingRequest` and `ExecutionRequest`: backend, steps, seed, ...

        Raises:
            RequestError: An option is wrong.
            QpuLimitError: The bill was declined, or exceeds the limit that was set.
        """
        request = _request(num_images, options)
        plan = plan_sampling(self.run, request)
        if check_backend_name(plan.backend).paid:
            return _output(sample_run(self.run, request, confirm=confirm))
        with tempfile.TemporaryDirectory(prefix="qhybrid-") as folder:
            try:
                return _output(sample_run(self.run, request, out=Path(folder) / "images"))
            except SamplingInterrupted as stop:  # which offers to go on in this folder
                raise KeyboardInterrupt from stop


def load(run: Run | Path | str) -> Pipeline:
    """Return the pipeline of a training run.

    Args:
        run: The run or its folder, or a folder of `qhybrid export`.

    Raises:
        RequestError: There is no run, or it has no model yet.

    Example:
        >>> import qhybrid
        >>> qhybrid.load("runs/1hqconv-qvunet-digits-1")
        Pipeline(1hqconv-qvunet in 'runs/1hqconv-qvunet-digits-1')
    """
    return Pipeline(run if isinstance(run, Run) else open_run(Path(run)))


def from_pretrained(source: Path | str, *, revision: str | None = None) -> Pipeline:
    """Return the pipeline of an exported folder, or of one on the Hugging Face hub.

    Args:
        source: The folder, or the repository as `owner/name`. A folder is taken where it exists.
        revision: Branch, tag or commit of the repository.

    Raises:
        RequestError: It is neither, or the repository cannot be had.

    Example:
        >>> import qhybrid
        >>> _ = qhybrid.export_run("runs/1hqconv-qvunet-digits-1", "exported")
        >>> qhybrid.from_pretrained("exported")
        Pipeline(1hqconv-qvunet in 'exported')
    """
    if Path(source).is_dir() or not _REPOSITORY.fullmatch(str(source)):
        return load(source)
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(str(source), revision=revision, allow_patterns=_FILES)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise RequestError(
            f"'{source}' is no folder, and cannot be had from the Hugging Face hub ({reason}); "
            "check the name, or give the folder of `qhybrid export`"
        ) from error
    return load(folder)


def _request(num_images: int | None, options: dict[str, Any]) -> SamplingRequest:
    execution = {field.name for field in fields(ExecutionRequest)}
    own = {field.name for field in fields(SamplingRequest)} - {"execution", "shard", "processes"}
    for name in options:
        if name not in own | execution:
            raise UnknownNameError("option", name, sorted(own | execution))
    chosen = {name: value for name, value in options.items() if name in execution}
    rest = {name: value for name, value in options.items() if name in own}
    return SamplingRequest(num_images, **rest, execution=ExecutionRequest(**chosen))


def _output(drawn: SamplingRun) -> PipelineOutput:
    with np.load(drawn.images_file) as file:
        pixels = file["images"]
    images = [Image.fromarray(each.squeeze(-1) if each.shape[-1] == 1 else each) for each in pixels]
    with Image.open(drawn.grid_file) as grid:
        return PipelineOutput(images, grid.copy())
