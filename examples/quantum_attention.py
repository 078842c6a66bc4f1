"""Train quantum attention on one digit, as its paper does: as it says, and as it can learn.

Run with `python examples/quantum_attention.py`; it writes quantum_attention.png. Rows: real threes;
`qattention-unet` of the paper, whose 48 circuit weights are all dead; the default variant, whose 48
weights all have an effect; `light-unet`, the paper's classical model, without attention. The models
see the same batches and draw from the same noise. The printed SSIM is the mean over all pairs of a
drawn and a real digit.
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
from qhybrid.evaluation.ssim import mean_ssim
from qhybrid_runtime.health.model import model_health

MODELS = (("qattention-unet", "paper"), ("qattention-unet", "trainable"), ("light-unet", None))


def digits_of(spec: ModelSpec, images: Tensor, steps: int) -> Tensor:
    generator, losses = torch.Generator().manual_seed(0), []
    model, schedule = build_model(spec, generator=generator), ScheduleSpec("cosine", 1000)
    generator.manual_seed(1)
    scheduler, optimizer = noise_scheduler(schedule), torch.optim.Adam(model.parameters(), 2e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = images[torch.randint(len(images), (32,), generator=generator)]
        loss = denoising_loss(model, batch, scheduler, P2Weighting(gamma=0), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        losses.append(loss.item())
    last = losses[-100:]
    print(f"{spec.name}, {spec.variant}: loss {sum(last) / len(last):.4f}", end="")
    health = model_health(model.double(), images[:1].double(), torch.tensor([500]))
    print(f", {health.dead_weights} of {health.num_weights} circuit weights dead", end="")
    return sample(model.float(), shape=(24, 1, 8, 8), spec=schedule, steps=50).images


def main(steps: int = 600, out: Path = Path("quantum_attention.png")) -> None:
    images = load_dataset("digits", classes=("3",)).tensor()
    print(f"real: SSIM {mean_ssim(images[:24], images[24:]):.3f}")
    rows = [images[:12]]
    for name, variant in MODELS:
        drawn = digits_of(ModelSpec(name, 8, variant=variant), images, steps)
        print(f", SSIM {mean_ssim(drawn, images[24:]):.3f}")
        rows.append(drawn[:12])
    save_grid(torch.cat(rows), out, columns=12)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
