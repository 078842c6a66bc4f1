"""Train the QuanvU-Net on the bundled digits, and show what its first circuit does to a digit.

Run with `python examples/quanvunet.py`; it writes quanvunet.png. First row: digits that the model
has drawn. Second row: the three channels, as red, green and blue, that the first quanvolution reads
of each digit. Third row: the expectation values that replace these channels. One 12-qubit circuit
computes them, for 2x2 pixels at a time.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from qhybrid import ModelSpec, build_model, load_dataset
from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec


def main(steps: int = 600, out: Path = Path("quanvunet.png")) -> None:
    generator = torch.Generator().manual_seed(0)
    model = build_model(ModelSpec("quanvunet", image_size=8), generator=generator)
    images, schedule = load_dataset("digits").tensor(), ScheduleSpec("cosine", 1000)
    scheduler, optimizer = noise_scheduler(schedule), torch.optim.Adam(model.parameters(), 5e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        batch = images[torch.randint(len(images), (32,), generator=generator)]
        loss = denoising_loss(model, batch, scheduler, P2Weighting(gamma=1), generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}")

    drawn = sample(model, shape=(12, 1, 8, 8), spec=schedule, steps=50).images
    maps: list[Tensor] = []
    circuit = model.encoder[1].first.first.circuit
    circuit.register_forward_hook(lambda _, inputs, output: maps.extend((inputs[0], output)))
    with torch.no_grad():
        model(drawn, torch.zeros(len(drawn)))
    read, measured = (F.interpolate(channels, size=8) for channels in maps)
    rows = [drawn.expand(-1, 3, -1, -1), read / read.abs().max(), measured]
    save_grid(torch.cat(rows), out, columns=len(drawn))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
