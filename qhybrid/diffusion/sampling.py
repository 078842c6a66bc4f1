"""Drawing images from a trained model."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.noise import GaussianNoise, NoiseSource
from qhybrid.diffusion.process import Draw, Process
from qhybrid.diffusion.samplers import sampler_steps
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid_circuits.errors import RequestError, ShapeError

Denoiser = Callable[..., Tensor]
"""(x_t (B, C, H, W), t (B,)) -> predicted epsilon (B, C, H, W); or as its `Process` says."""

DEFAULT_BATCH = 256
# torch.quantile, by which diffusers' solvers clip, takes no more elements than this.
_MOST_ELEMENTS = 2**24


@dataclass(frozen=True)
class SampleResult:
    """Images that were drawn, and how they came to be.

    Attributes:
        images: float32 (N, C, H, W) in [-1, 1], on the CPU.
        frames: x_t at evenly spaced moments, from pure noise to the images, each shaped and clipped
            like them; None when none were asked for.
        sampler: The sampler's name.
        steps: Model evaluations per image.
        labels: Class of each image, (N,), where the model was told one.
    """

    images: Tensor
    frames: list[Tensor] | None
    sampler: str
    steps: int
    labels: Tensor | None = None


def sample(
    model: Denoiser,
    *,
    shape: tuple[int, int, int, int],
    spec: ScheduleSpec,
    sampler: str = "ddim",
    steps: int | None = None,
    seed: int = 0,
    first_index: int = 0,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    on_step: Callable[[int, int], None] | None = None,
    keep: int = 0,
    noise: NoiseSource | None = None,
    process: Process | None = None,
) -> SampleResult:
    """Draw images by the reverse process.

    Image i gets all its noise from a CPU generator of its own, derived from `seed` and i: it does
    not depend on the device, on how many images are drawn with it, or on `batch_size`.

    Args:
        model: Predicts what `process` says from x_t and t.
        shape: (N, C, H, W) of the result.
        spec: The schedule that the model was trained with.
        sampler: A key of `SAMPLERS`.
        steps: Model evaluations per image; None means the sampler's default.
        seed: Seed of all images.
        first_index: Index i of the first image, to go on with an interrupted set.
        device: Where the model is.
        batch_size: Most images in one model evaluation; None means `DEFAULT_BATCH`.
        on_step: Called as on_step(done, total) after each model evaluation.
        keep: Number of frames to keep, both ends included; 0 keeps none.
        noise: Where noise comes from; the images' generators themselves if omitted.
        process: What the model predicts, on the same schedule; epsilon if omitted.

    Raises:
        UnknownNameError: No sampler has that name.
        RequestError: A number of steps, batch size, seed or index out of its range.
        ShapeError: A shape with an axis that is not positive.

    Example:
        >>> import torch
        >>> from qhybrid.diffusion.sampling import sample
        >>> from qhybrid.diffusion.schedules import ScheduleSpec
        >>> zeros = lambda x, t: torch.zeros_like(x)
        >>> spec = ScheduleSpec("cosine", 1000)
        >>> sample(zeros, shape=(2, 1, 8, 8), spec=spec, steps=3).images.shape
        torch.Size([2, 1, 8, 8])
    """
    steps = sampler_steps(sampler, spec, steps)
    process = EpsilonProcess(spec, P2Weighting()) if process is None else process
    process.info.check_sampler(spec, sampler, steps)
    batch_size = DEFAULT_BATCH if batch_size is None else batch_size
    _check_request(shape, batch_size, seed, first_index, keep)
    batch_size = min(batch_size, max(1, _MOST_ELEMENTS // math.prod(shape[1:])))
    every = range(first_index, first_index + shape[0])
    batches = [every[start : start + batch_size] for start in range(0, len(every), batch_size)]
    # After how many steps a frame is kept; the last step always is, for the images.
    moments = {round(steps * i / max(keep - 1, 1)) for i in range(keep)} | {steps}
    chunks: list[list[Tensor]] = []
    with _evaluation_mode(model), torch.no_grad():
        # Not inference mode: tensors that a circuit caches in here must still serve training.
        for number, indices in enumerate(batches):
            generators = [image_generator(seed, index) for index in indices]
            where, source = torch.device(device), noise or GaussianNoise()
            draw = Draw(sampler, steps, indices, shape[1:], generators, where, source)
            chunks.append([])
            for done, x in enumerate(process.chain(model, draw)):
                if done in moments:
                    images = process.images(model, x)
                    chunks[-1].append(images.clamp(-1, 1).to("cpu", torch.float32))
                if done and on_step is not None:
                    on_step(number * steps + done, len(batches) * steps)
    frames = [torch.cat(parts) for parts in zip(*chunks, strict=True)]
    labels = process.labels(every)
    return SampleResult(frames[-1], frames if keep else None, sampler, steps, labels)


def image_generator(seed: int, index: int) -> torch.Generator:
    """Return the generator of image `index`; neighbouring seeds and indices are unrelated."""
    state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def _check_request(
    shape: tuple[int, ...], batch_size: int, seed: int, first_index: int, keep: int
) -> None:
    if len(shape) != 4 or min(shape) < 1:
        raise ShapeError(f"Argument `shape` must be (N, C, H, W), all positive, but it is {shape}")
    from_zero = {"seed": seed, "first_index": first_index, "keep": keep}
    for name, value in {"batch_size": batch_size, **from_zero}.items():
        least = int(name == "batch_size")
        if value < least:
            raise RequestError(f"{name} must be at least {least}, but it is {value}")


@contextmanager
def _evaluation_mode(model: Denoiser) -> Iterator[None]:
    if not isinstance(model, nn.Module) or not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
