"""Train one model by score matching in continuous time, and draw from it in four ways.

Run with `python examples/continuous_time.py`; it writes continuous_time.png. Rows: reverse SDE,
reverse SDE with corrections by Langevin dynamics, probability-flow ODE, and DDIM. DDIM solves the
same ODE at first order, so that the last two rows show the same digits. From the command line:
`qhybrid train --set diffusion.schedule=ve-sde`.
"""

import sys
from pathlib import Path

import torch

from qhybrid import ModelSpec, build_model, load_dataset
from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.diffusion.process import EPSILON
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec

ROWS = {"sde": 200, "pc": 400, "ode": 50, "ddim": 50}


def main(steps: int = 600, out: Path = Path("continuous_time.png")) -> None:
    generator = torch.Generator().manual_seed(0)
    model = build_model(ModelSpec("1hqconv-qvunet", image_size=8), generator=generator)
    images, schedule = load_dataset("digits").tensor(), ScheduleSpec("ve-sde")
    process = EPSILON.build(schedule, P2Weighting())
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for step in range(steps):
        batch = images[torch.randint(len(images), (32,), generator=generator)]
        labels = torch.zeros(len(batch))  # the model is told no classes
        loss = process.loss(model, batch, labels, generator, GaussianNoise())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
    rows = [
        sample(
            model,
            shape=(8, 1, 8, 8),
            spec=schedule,
            sampler=name,
            steps=count,
            seed=1,
            process=process,
        ).images
        for name, count in ROWS.items()
    ]
    save_grid(torch.cat(rows), out, columns=8)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
