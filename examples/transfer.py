"""Transfer learning: train a classical U-Net, then continue from all its weights but the vertex's.

Run with `python examples/transfer.py`; it writes transfer.png, each row from the same noise. Rows:
the classical U-Net; continued with a new classical vertex (the paper's control); continued with a
vertex that has circuits; continued with the classical twins of these circuits. The command for the
paper's 19 + 1 epochs is:

    qhybrid train --config defalco2024-transfer-mnist
"""

import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from qhybrid import Run, load_config, load_model, train
from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.specs import ScheduleSpec

CONTINUED = ("unet", "1fqconv-qvunet", "1fqconv-qvunet-control")


def run(model: str, steps: int, folder: Path, start: Run | None = None) -> Run:
    settings = {
        "model.name": model,
        "training.epochs": 1000,
        "training.max_steps": steps,
        "training.log_every": min(steps, 20),
        "training.checkpoint_every": 1000,
        "sampling.num_images": 1,
        "sampling.steps": 1,
    }
    if start is not None:
        settings |= {"transfer.init_from": str(start.folder), "training.learning_rate": 2e-3}
    finished = train(load_config(overrides=settings), out=folder)
    with finished.metrics_file.open(newline="") as file:
        loss = float(list(csv.DictReader(file))[-1]["loss"])
    print(f"{model}{' continued' if start else ''}: {steps} steps, loss {loss:.3f}")
    return finished


def main(steps: int = 800, out: Path = Path("transfer.png")) -> None:
    with TemporaryDirectory() as folder:
        runs = [run("unet", steps, Path(folder, "classical"))]
        for model in CONTINUED:
            runs.append(run(model, max(1, steps // 8), Path(folder, model), runs[0]))
        models = [load_model(finished.folder).eval() for finished in runs]
    schedule, shape = ScheduleSpec("cosine", 1000), (12, 1, 8, 8)
    rows = [sample(model, shape=shape, spec=schedule, steps=50).images for model in models]
    save_grid(torch.cat(rows), out, columns=shape[0])


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
