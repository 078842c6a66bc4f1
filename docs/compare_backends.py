"""Draw the same images on several backends, and say how far each is from exact.

python docs/compare_backends.py RUN [BACKEND ...] [--num-images N] [--steps N]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from qhybrid.models.storage import load_model
from qhybrid.sampling.request import SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid_runtime import CircuitBank, get_backend

BACKENDS = ("statevector", "aer", "aer:fake_fez", "fake_fez")


def one_step(run: Path, backend: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the outputs of the first circuits, and the noise that the model predicts."""
    model = load_model(run, get_backend(backend)).eval()
    bank = next(module for module in model.modules() if isinstance(module, CircuitBank))
    outputs: list[torch.Tensor] = []
    bank.register_forward_hook(lambda _, __, values: outputs.append(torch.cat(values, dim=1)))
    with torch.no_grad():
        noise = model(x, torch.full((len(x),), 500))
    return outputs[0], noise


def main(arguments: list[str] | None = None) -> None:
    """Sample, compare and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Compare backends on one trained run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("backends", nargs="*", default=list(BACKENDS))
    parser.add_argument("--num-images", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    asked = parser.parse_args(arguments)
    print("| backend | circuits' outputs | predicted noise | pixels, of 255 | seconds |")
    print("| --- | --- | --- | --- | --- |")
    exact: list[np.ndarray] = []
    for backend in dict.fromkeys(["statevector", *asked.backends]):
        request = SamplingRequest(
            asked.num_images, sampler="ddim", steps=asked.steps, backend=backend
        )
        began = time.perf_counter()
        with np.load(sample_run(asked.run, request).images_file) as file:
            images = file["images"].astype(float)
        seconds = time.perf_counter() - began
        x = torch.randn(
            len(images), *images.shape[:0:-1], generator=torch.Generator().manual_seed(0)
        )
        found = [*(part.numpy() for part in one_step(asked.run, backend, x)), images]
        exact = exact or found
        away = [np.abs(part - ideal).mean() for part, ideal in zip(found, exact, strict=True)]
        print(f"| `{backend}` | {away[0]:.3f} | {away[1]:.1e} | {away[2]:.2f} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
