"""Train circuits that turn the maximally mixed state step by step into a cluster of states.

`qhybrid train --dataset states:cluster` does so by command; this is the library without it.
The states are of two qubits. Run with `python examples/quantum_states.py`; it writes
quantum_states.png: the mean fidelity with the cluster's centre while noise is added (read from left
to right) and while it is removed (read from right to left), with a band of the middle 90 % of the
generated states.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.states.density import density_matrices, random_states, state_cluster
from qhybrid.states.depolarizing import DepolarizingProcess
from qhybrid.states.figure import save_fidelity_figure
from qhybrid.states.losses import fidelity
from qhybrid.states.objective import state_denoising_loss, state_generation_loss
from qhybrid.states.reverse import ReverseProcess


def main(steps: int = 800, out: Path = Path("quantum_states.png")) -> None:
    generator = torch.Generator().manual_seed(0)
    target = random_states(2, 1, generator)[0]
    data = density_matrices(state_cluster(target, 0.2, 256, generator))
    noise = DepolarizingProcess.from_schedule(ScheduleSpec("linear", 8, 0.02, 0.6))
    reverse = ReverseProcess(2, noise.steps, ancillas=1, layers=3, generator=generator)
    optimizer = torch.optim.Adam(reverse.parameters(), 0.02)
    for step in range(steps):
        batch = data[torch.randint(len(data), (32,), generator=generator)]
        loss = state_denoising_loss(reverse, noise, batch, generator)
        loss = loss + state_generation_loss(reverse, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.4f}")
    start = density_matrices(random_states(2, 500, generator))

    def to_target(states: Tensor) -> Tensor:
        return fidelity(states, density_matrices(target).expand_as(states))

    drawn = to_target(reverse.sample(start, generator)).flip(0)
    added = torch.stack([to_target(noise.noisy(data, t)).mean() for t in range(noise.steps + 1)])
    print(f"mean fidelity: data {added[0]:.3f}, generated {drawn[0].mean():.3f}")
    low, high = torch.quantile(drawn, torch.tensor([0.05, 0.95], dtype=drawn.dtype), dim=1).tolist()
    curves = {"noise added": added.tolist(), "generated, from the right": drawn.mean(1).tolist()}
    bands = {"generated, from the right": (low, high)}
    save_fidelity_figure(curves, out, bands=bands, label="noise steps; fidelity with the centre")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
