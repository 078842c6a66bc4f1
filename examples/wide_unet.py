"""Train a wide U-Net, then only the weights of a circuit in front of its vertex.

Run with `python examples/wide_unet.py`; it writes wide_unet.png, each row from the same noise: the
classical model; the same model with a circuit of random weights on a tenth of the vertex's
channels; the same model after training the circuit's 28 weights, with all other weights frozen. The
command for the 20 + 5 epochs of the PyTorch report is:

    qhybrid train --config capece-transfer
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from qhybrid import ModelSpec, build_model, load_dataset
from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec

SCHEDULE = ScheduleSpec("cosine", 1000)


def fit(model: nn.Module, images: Tensor, steps: int, learning_rate: float) -> None:
    generator = torch.Generator().manual_seed(0)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    scheduler, optimizer = noise_scheduler(SCHEDULE), torch.optim.Adam(trained, learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        batch = images[torch.randint(len(images), (32,), generator=generator)]
        loss = denoising_loss(model, batch, scheduler, P2Weighting(gamma=1), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        if step % 100 == 0:
            print(f"{sum(p.numel() for p in trained):,} weights, step {step}: loss {loss:.3f}")


def draw(model: nn.Module) -> Tensor:
    return sample(model, shape=(12, 1, 8, 8), spec=SCHEDULE, steps=50).images


def main(steps: int = 1200, out: Path = Path("wide_unet.png")) -> None:
    images, generator = load_dataset("digits").tensor(), torch.Generator().manual_seed(0)
    specs = (ModelSpec(name, 8, dim=16) for name in ("wide-unet", "hqconv-wide-unet"))
    classical, hybrid = (build_model(spec, generator=generator) for spec in specs)
    fit(classical, images, steps, learning_rate=2e-3)
    missing, _ = hybrid.load_state_dict(classical.state_dict(), strict=False)
    rows = [draw(classical), draw(hybrid)]
    for name, parameter in hybrid.named_parameters():
        parameter.requires_grad_(name in missing)
    fit(hybrid, images, max(1, steps // 4), learning_rate=3e-2)
    save_grid(torch.cat([*rows, draw(hybrid)]), out, columns=12)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
