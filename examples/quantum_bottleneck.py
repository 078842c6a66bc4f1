"""Denoise the digits 0 and 1 as complex vectors (quantum states) with a circuit of four qubits.

Run with `python examples/quantum_bottleneck.py`; it writes quantum_bottleneck.png. Each column is a
state in its last steps from complex noise to a digit, drawn as the magnitudes of its amplitudes.
The network predicts only the direction of a state. Angles of its circuit tell it the time step and
the digit. The last line compares the infidelity of the model's predictions with that of the same
model without its circuit's outputs.
"""

import sys
from pathlib import Path

import torch

from qhybrid import ModelSpec, build_model, load_dataset
from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting
from qhybrid.diffusion.state_process import state_loss
from qhybrid.diffusion.state_sampling import StateProcess
from qhybrid.settings.sources import load_config


def main(steps: int = 1000, out: Path = Path("quantum_bottleneck.png")) -> None:
    generator = torch.Generator().manual_seed(0)
    digits = load_dataset("digits", classes=("0", "1"))
    images, labels = digits.tensor(), digits.labels
    schedule = load_config("qbottleneck").diffusion.schedule_spec
    scheduler = noise_scheduler(schedule)
    spec = ModelSpec("qbottleneck-unet", image_size=8, classes=("0", "1"))
    model = build_model(spec, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for step in range(steps):
        batch = torch.randint(len(images), (32,), generator=generator)
        loss = state_loss(model, images[batch], labels[batch], scheduler, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}")

    drawn = sample(
        model,
        shape=(12, 1, 8, 8),
        spec=schedule,
        sampler="ddpm",
        process=StateProcess(schedule, P2Weighting(gamma=1), classes=2),
        keep=schedule.timesteps + 1,
    )
    save_grid(torch.cat((drawn.frames or [])[-5:]), out, columns=12)

    model.vertex.register_forward_hook(lambda _, __, features: torch.zeros_like(features))
    without = state_loss(model, images, labels, scheduler, generator)
    print(f"loss {loss.item():.3f}, {without.item():.3f} without what the circuit gives")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
