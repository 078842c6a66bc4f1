"""The variational bound of a trained run on images that it was not trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qhybrid.data.dataset import ImageDataset, scale_pixels
from qhybrid.data.load import load_dataset
from qhybrid.diagrams import new_figure, save_figure
from qhybrid.diffusion.bound import VARIANCES, VariationalBound, bits_per_dimension
from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.files import write_json
from qhybrid.models.model_file import read_spec
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run, check_free, claim_folder, claim_next
from qhybrid.settings.config import Config
from qhybrid.torch_device import choose_device
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime import get_backend

SEED = 0
"""Of the images and the noise: those of all runs are the same."""

BATCH = 256
_WITHIN = 1.96  # standard errors on each side of a 95 % interval


@dataclass(frozen=True)
class Bound:
    """The bound of a run, and its terms.

    Attributes:
        run: The run's folder.
        split: Which images it is of: `test` or `train`.
        images: How many.
        dimensions: Pixels times channels of one.
        prior: L_T in nats, (N,).
        terms: Name of the reverse variance -> L_0 to L_(T-1) in nats, (T, N).
        folder: Where the results lie.
    """

    run: Path
    split: str
    images: int
    dimensions: int
    prior: Tensor
    terms: dict[str, Tensor]
    folder: Path

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each term and for the bound, with each reverse variance."""
        rows = []
        for variance, terms in self.terms.items():
            parts = {
                "L_T, prior": self.prior,
                "sum of L_(t-1), t > 1": terms[1:].sum(0),
                "L_0, decoder": terms[0],
            }
            parts["bound"] = torch.stack(list(parts.values())).sum(0)
            for name, nats in parts.items():
                bits = bits_per_dimension(nats, self.dimensions)
                within = _WITHIN * float(bits.std() / len(bits) ** 0.5)
                value = float(bits.mean())
                rows.append(
                    {
                        "variance": variance,
                        "term": name,
                        "bits_per_dimension": value,
                        "low": value - within,
                        "high": value + within,
                        "nats_per_image": float(nats.mean()),
                    }
                )
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as `--format json` prints them."""
        curves = {
            name: bits_per_dimension(terms.mean(1), self.dimensions).tolist()
            for name, terms in self.terms.items()
        }
        return {
            "run": str(self.run),
            "split": self.split,
            "images": self.images,
            "dimensions": self.dimensions,
            "terms": self.records(),
            "bits_per_dimension_by_timestep": curves,
            "picture": str(self.picture_file),
        }

    @property
    def picture_file(self) -> Path:
        """The terms by timestep (PNG)."""
        return self.folder / "bound.png"

    @property
    def results_file(self) -> Path:
        """All of it (JSON)."""
        return self.folder / "bound.json"

    def save(self) -> None:
        """Write both files."""
        write_json(self.results_file, self.to_dict())
        figure = new_figure(6.4, 4)
        axes = figure.add_subplot()
        for name, style in zip(VARIANCES, ("-", "--"), strict=True):
            curve = bits_per_dimension(self.terms[name].mean(1), self.dimensions)
            steps = range(1, len(curve) + 1)
            axes.plot(steps, curve, style, label=f"variance of p: {name}", linewidth=1.2)
        prior = float(bits_per_dimension(self.prior.mean(), self.dimensions))
        axes.plot([len(curve)], [prior], "k_", markersize=14, label="L_T, prior")
        axes.set(xlabel="t", ylabel="L_(t-1), bits per dimension", xscale="log", yscale="log")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        save_figure(figure, self.picture_file)


def measure_bound(
    run: Run,
    *,
    num_images: int = 64,
    split: str | None = None,
    epoch: str | None = None,
    device: str = "auto",
    out: Path | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Bound:
    """Measure the bound with the averaged weights, circuits in exact simulation.

    Args:
        run: A training run of a model that predicts the noise in images.
        num_images: How many images of the split, a random part that is always the same.
        split: `test` or `train`; None takes `test` where there is one.
        epoch: An epoch whose weights were kept, or `best`; None takes the newest.
        device: `auto`, `cpu` or `cuda`.
        out: New folder for the results; None takes `bounds/SPLIT-N` in the run.
        on_step: Called as on_step(done, total) after each timestep of each batch.

    Raises:
        RequestError: The model predicts something else, or images or weights cannot be had.
    """
    if num_images < 2:
        raise RequestError(f"--num-images must be 2 or more, but is {num_images}")
    if out is not None:
        check_free(out)
    config = run.config()
    weights, spec, where = run.weights_file(epoch), read_spec(run.folder), choose_device(device)
    process = spec.row.process.build(config.diffusion.schedule_spec, config.diffusion.weighting)
    if not isinstance(process, EpsilonProcess):
        raise RequestError(
            f"the bound is of models that predict the noise in images, but {config.model.name} is "
            f"{spec.row.process.models}; choose a run of another model"
        )
    found, dataset = _images(config, spec.image_size, spec.channels, split)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(SEED))
    images = scale_pixels(dataset.images[order[:num_images]])
    model = load_model(run.folder, get_backend("statevector"), weights=weights).to(where).eval()
    process.bind(model)
    prior, terms = _terms(model, VariationalBound(process), images, where, on_step)
    folder = claim_next(run.folder / "bounds", found) if out is None else claim_folder(out)
    count, size = len(images), images[0].numel()
    bound = Bound(run.folder, found, count, size, prior, terms, folder)
    bound.save()
    return bound


def _images(
    config: Config, image_size: int, channels: int, split: str | None
) -> tuple[str, ImageDataset]:
    """Return the split that is there, and its images."""
    data = config.data
    for each in ("test", "train") if split is None else (split,):
        try:
            return each, load_dataset(
                data.dataset,
                classes=data.classes,
                image_size=image_size,
                channels=channels,
                split=each,
                limit=data.limit if each == "train" else None,
            )
        except RequestError:
            if split is not None or each == "train":
                raise
    raise AssertionError  # the loop returns or raises


def _terms(
    model: nn.Module,
    bound: VariationalBound,
    images: Tensor,
    device: str,
    on_step: Callable[[int, int], None] | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return L_T (N,) and L_t (T, N) for each reverse variance."""
    batches, steps = torch.split(images, BATCH), bound.timesteps
    generator = torch.Generator().manual_seed(SEED)
    parts: list[Tensor] = []
    with torch.no_grad():
        for number, batch in enumerate(batches):
            given, rows = batch.to(device), list[Tensor]()
            for t in range(steps):
                noise = torch.randn(batch.shape, generator=generator).to(device)
                rows.append(torch.stack(list(bound.term(model, given, t, noise))).cpu())
                if on_step is not None:
                    on_step(number * steps + t + 1, len(batches) * steps)
            parts.append(torch.stack(rows))
    every = torch.cat(parts, dim=2)
    return bound.prior(images), {name: every[:, i] for i, name in enumerate(bound.variances)}
