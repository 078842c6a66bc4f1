"""Measure what a QPU's noise, and the loss of the circuits, cost the images of a trained run.

    python docs/measure_device.py RUN [RUN ...] --out FOLDER [--backends A,B] [--num-images N]
        [--shown SAMPLING ...]

draws the same images exactly, with the circuits' outputs set to their mean over each batch, and
on each backend; prints a Markdown table; and puts the first 16 of each side by side in FOLDER, then
those of the sampling runs that are shown beside them.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qhybrid.diffusion.images import save_grid
from qhybrid.evaluation.evaluate import evaluate
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid_runtime.bank import CircuitBank

EXACT, MEAN = "statevector", "mean"
SHOWN, COLUMNS, GAP = 16, 4, 1


@contextmanager
def circuits_at_mean() -> Iterator[None]:
    """Replace each output of every circuit by its mean over the batch of an evaluation."""

    def replaced(module: nn.Module, _: object, outputs: list[Tensor]) -> list[Tensor] | None:
        if not isinstance(module, CircuitBank):
            return None
        return [values.mean(0, keepdim=True).expand_as(values) for values in outputs]

    hook = nn.modules.module.register_module_forward_hook(replaced)
    try:
        yield
    finally:
        hook.remove()


def sampled(run: Path, way: str, folder: Path, asked: argparse.Namespace) -> Path:
    """Return the sampling run of a way, which is drawn where it is not there yet."""
    if (folder / "images.npz").exists():
        return folder
    backend = EXACT if way == MEAN else way
    execution = ExecutionRequest(shots=None if backend == EXACT else asked.shots)
    request = SamplingRequest(
        num_images=asked.num_images, steps=asked.steps, backend=backend, execution=execution
    )
    if way != MEAN:
        return sample_run(run, request, out=folder, resume=folder.exists()).folder
    with circuits_at_mean():
        return sample_run(run, request, out=folder, resume=folder.exists()).folder


def main(arguments: list[str] | None = None) -> None:
    """Print the table and draw the grids."""
    parser = argparse.ArgumentParser(description="Measure what a QPU's noise costs the images.")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--backends", default="aer:fake_fez")
    parser.add_argument("--shown", nargs="*", default=[], type=Path)
    parser.add_argument("--num-images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--shots", type=int, default=512)
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    print("| run | circuits | classifier-FID | 95 % interval |\n| --- | --- | --- | --- |")
    for run in asked.runs:
        grids = []
        for way in (EXACT, MEAN, *asked.backends.split(",")):
            folder = sampled(run, way, asked.out / f"{run.name}-{way.replace(':', '-')}", asked)
            figures = evaluate(folder, EvaluationRequest(num_images=asked.num_images)).figures
            fid = next(figure for figure in figures if figure.name == "classifier-FID")
            interval = f"{fid.low:.2f} to {fid.high:.2f}"
            print(f"| {run.name} | `{way}` | {fid.value:.2f} | {interval} |", flush=True)
            grids.append(first_images(folder))
        grids += map(first_images, asked.shown)
        save_grid(side_by_side(grids), asked.out / f"{run.name}.png", columns=len(grids), upscale=2)


def first_images(folder: Path) -> Tensor:
    """Return the first images that were drawn, (N, C, H, W) in [-1, 1]."""
    images = torch.from_numpy(np.load(folder / "images.npz")["images"][:SHOWN])
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def side_by_side(grids: list[Tensor]) -> Tensor:
    """Return each grid as one image, (number of grids, C, H', W')."""
    whole = []
    for images in grids:
        rows = [torch.cat(list(row), dim=-1) for row in images.split(COLUMNS)]
        rows = [nn.functional.pad(row, (0, rows[0].shape[-1] - row.shape[-1])) for row in rows]
        whole.append(nn.functional.pad(torch.cat(rows, dim=-2), [GAP] * 4, value=1.0))
    return torch.stack(whole)


if __name__ == "__main__":
    main()
