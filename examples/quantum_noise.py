"""Train and draw with noise that is made of measured bits.

Run with `python examples/quantum_noise.py`; it writes quantum_noise.png. Rows: noise measured on
Aer's qubits, the digits drawn from this noise, and digits drawn from PyTorch's noise.
"""

import sys
from pathlib import Path

import torch

from qhybrid import ModelSpec, build_model, load_dataset
from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.noise import GaussianNoise, QuantumNoise
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid_runtime.randomness.factory import bit_source


def main(steps: int = 600, out: Path = Path("quantum_noise.png")) -> None:
    generator, noise = torch.Generator().manual_seed(0), QuantumNoise(bit_source("aer"))
    model = build_model(ModelSpec("unet", image_size=8), generator=generator)
    images, schedule = load_dataset("digits").tensor(), ScheduleSpec("sigmoid", 1000)
    scheduler, optimizer = noise_scheduler(schedule), torch.optim.Adam(model.parameters(), 5e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        batch = images[torch.randint(len(images), (32,), generator=generator)]
        loss = denoising_loss(model, batch, scheduler, P2Weighting(gamma=1), generator, noise)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}")

    quantum, gaussian = (
        sample(
            model,
            shape=(12, 1, 8, 8),
            spec=schedule,
            sampler="sde-dpm++",
            steps=30,
            keep=2,
            noise=source,
        )
        for source in (noise, GaussianNoise())
    )
    first, *_ = quantum.frames or ()
    save_grid(torch.cat([first, quantum.images, gaussian.images]), out, columns=12)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
