"""Compare a hybrid with its classical twin, from the same seed and on the same batches.

Run with `python examples/control.py`; it writes control.png, each row from the same noise. Rows:
the classical U-Net; fullhqconv-qvunet, whose vertex has 56 circuits; its control, which has a
cosine layer with as many weights in the place of each circuit. If the last two perform alike, the
hybrid's performance is not due to its circuits being quantum.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from qhybrid import ModelSpec, build_model, load_dataset
from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec

MODELS = ("unet", "fullhqconv-qvunet", "fullhqconv-qvunet-control")


def digits_of(name: str, steps: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    model = build_model(ModelSpec(name, image_size=8), generator=generator)
    generator.manual_seed(1)
    images, schedule = load_dataset("digits").tensor(), ScheduleSpec("cosine", 1000)
    scheduler, optimizer = noise_scheduler(schedule), torch.optim.Adam(model.parameters(), 5e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses: list[float] = []
    for _ in range(steps):
        batch = images[torch.randint(len(images), (32,), generator=generator)]
        loss = denoising_loss(model, batch, scheduler, P2Weighting(gamma=1), generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay.step()
        losses.append(loss.item())
    last = losses[-100:]
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{name}: {weights:,} weights, mean loss of {len(last)} steps {sum(last) / len(last):.4f}"
    )
    return sample(model, shape=(12, 1, 8, 8), spec=schedule, steps=50).images


def main(steps: int = 400, out: Path = Path("control.png")) -> None:
    save_grid(torch.cat([digits_of(name, steps) for name in MODELS]), out, columns=12)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
