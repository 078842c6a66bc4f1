"""Follow what circuits say through the U-Net, and train networks that lose less of it.

    python docs/study_influence.py stages RUN [RUN ...]
    python docs/study_influence.py parts RUN [RUN ...]
    python docs/study_influence.py changes FILE [--steps N] [--seeds N] [--only NAME ...]

The first prints, for trained runs of QVU-Nets, by how much each stage changes when the circuits say
their mean, and draws docs/images/influence-stages.png (with matplotlib, which qhybrid does not
need). The second prints how much the output and the loss change when the circuits, the vertex or a
level of the decoder give their mean. The third trains changed networks and prints what is in the
last table of influence.md; FILE keeps what was measured, as lines of JSON, so that another call
goes on where one was ended.
"""

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from influence_networks import CHANGES, ImageProcess
from measure_influence import influence_of, interval, split_digits, trained
from torch import Tensor, nn

from qhybrid.data.load import load_dataset
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.models.model_file import read_spec
from qhybrid.models.storage import load_model
from qhybrid.models.unet import UNet
from qhybrid.models.zoo import build_model
from qhybrid.run_folder import open_run
from qhybrid.training.session import Session, build_session
from qhybrid_runtime.health.influence import circuits_changed, relative_change

PICTURE = Path(__file__).parent / "images" / "influence-stages.png"
RATE = 6e-3


@torch.no_grad()
def image_error(session: Session, dataset: Path) -> float:
    """Return the squared error of the images, in [-1, 1], that a model sees in noisy ones."""
    module = session.state.module
    scheduler, images = module.process.scheduler, load_dataset(dataset, split="test").tensor()
    times = torch.arange(len(images)) * module.noise_schedule.timesteps // len(images)
    noise = torch.randn(images.shape, generator=seeded(0))
    noisy = scheduler.add_noise(images, noise, times)
    said, signal = module.model(noisy, times), scheduler.alphas_cumprod[times][:, None, None, None]
    if not isinstance(module.process, ImageProcess):
        said = (noisy - (1 - signal).sqrt() * said) / signal.sqrt()
    return float((said.clamp(-1, 1) - images).square().mean())


def measured(name: str, seed: int, steps: int, dataset: Path) -> dict[str, Any]:
    """Train a changed network and return what its circuits change."""
    session = trained(f"influence_networks:ROW_{name}", RATE, seed, steps, dataset)
    error = image_error(session, dataset)
    vertex = {"vertex": influence_of(session, [session.state.model.vertex])["mean"]}
    own = influence_of(session)
    return {"name": name, "seed": seed, "steps": steps, "error": error, **vertex, **own}


def changes(file: Path, steps: int, seeds: int, only: list[str]) -> None:
    """Measure what is missing, then print the table."""
    lines = file.read_text().splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    known = {(each["name"], each["seed"], each["steps"]) for each in found}
    with tempfile.TemporaryDirectory() as temporary:
        dataset = split_digits(Path(temporary) / "digits.npz")
        for seed in range(seeds):
            for name in only:
                if (name, seed, steps) not in known:
                    found.append(measured(name, seed, steps, dataset))
                    with file.open("a") as out:
                        out.write(json.dumps(found[-1]) + "\n")
    columns = {
        "circuits: output": lambda each: each["mean"]["output"],
        "circuits: loss, %": lambda each: 100 * each["mean"]["loss"],
        "vertex: output": lambda each: each["vertex"]["output"],
        "vertex: loss, %": lambda each: 100 * each["vertex"]["loss"],
        "image error": lambda each: each["error"],
    }
    print("| network | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for name in only:
        own = [each for each in found if each["name"] == name and each["steps"] == steps]
        if own:
            forms = (".1e", "+.4f", ".1e", "+.4f", ".4f")
            cells = [
                interval([value(each) for each in own], form)
                for value, form in zip(columns.values(), forms, strict=True)
            ]
            print(f"| {name} | " + " | ".join(cells) + " |")


def at_stages(model: UNet, images: Tensor, times: Tensor) -> dict[str, float]:
    """Return how much each stage changes, over the standard deviation there, in float64."""
    model.double()
    recorded: dict[str, Tensor] = {}

    def record(name: str, _: nn.Module, __: Any, output: Any) -> None:
        recorded[name] = output

    stages = {
        "circuits, 1st conv.": model.vertex.first.first.bank,
        "1st conv.": model.vertex.first.first,
        "1st GroupNorm": model.vertex.first.first_norm,
        "2nd conv.": model.vertex.first.second,
        "2nd GroupNorm": model.vertex.first.second_norm,
        "1st block": model.vertex.first,
        "attention": model.vertex.attention,
        "vertex": model.vertex,
        **{f"decoder {i + 1}": level for i, level in enumerate(model.decoder)},
        "output": model,
    }
    hooks = [m.register_forward_hook(partial(record, name)) for name, m in stages.items()]
    with torch.no_grad():
        model(images.double(), times)
        usual = dict(recorded)
        with circuits_changed(model, "mean"):
            model(images.double(), times)
    for hook in hooks:
        hook.remove()
    bank = torch.cat(usual.pop("circuits, 1st conv."), dim=1)
    first = {"circuits, 1st conv.": relative_change(bank, bank.mean(0).expand_as(bank))}
    return first | {name: relative_change(usual[name], recorded[name]) for name in usual}


def stages(folders: list[str]) -> None:
    """Print and draw what is left, at each stage, of what the circuits say.

    A column is named after its run's folder; the first is of the first run's model, not trained.
    """
    import matplotlib.pyplot as plt

    runs = [open_run(Path(folder)) for folder in folders]
    models = {"untrained": build_model(read_spec(runs[0].folder), generator=seeded(0))}
    models |= {run.folder.name: load_model(run.folder) for run in runs}
    images = load_dataset("digits").tensor()[:256]
    times = torch.arange(256) * 1000 // 256
    noise = torch.randn(images.shape, generator=seeded(0))
    scheduler = noise_scheduler(runs[0].config().diffusion.schedule_spec)
    noisy = scheduler.add_noise(images, noise, times)
    columns = {name: at_stages(cast("UNet", model), noisy, times) for name, model in models.items()}
    print("| stage | " + " | ".join(columns) + " |")
    print("| --- | " + " | ".join("---" for _ in columns) + " |")
    for stage in columns["untrained"]:
        cells = [f"{each[stage]:.1e}" for each in columns.values()]
        print(f"| {stage} | " + " | ".join(cells) + " |")
    figure, axes = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
    for name, found in columns.items():
        axes.semilogy(list(found), list(found.values()), "o-", label=name, markersize=4)
    axes.tick_params(axis="x", rotation=45)
    plt.setp(axes.get_xticklabels(), ha="right", rotation_mode="anchor")
    axes.set_ylabel("change, over the size of the signal")
    axes.grid(visible=True, axis="y", linewidth=0.3)
    axes.legend(frameon=False)
    figure.savefig(PICTURE, dpi=150)


def parts(folders: list[str]) -> None:
    """Print what the parts of runs change as wholes."""
    print("| run | part | output | loss, % |")
    print("| --- | --- | --- | --- |")
    for run in (open_run(Path(folder)) for folder in folders):
        session = build_session(run.config())
        model = session.state.model
        model.load_state_dict(load_model(run.folder).state_dict())
        decoder = {f"decoder {i + 1}": [level] for i, level in enumerate(model.decoder)}
        for part, modules in {"circuits": None, "vertex": [model.vertex], **decoder}.items():
            change = influence_of(session, modules)["mean"]
            loss = 100 * cast("float", change["loss"])
            print(f"| {run.folder.name} | {part} | {change['output']:.1e} | {loss:+.3f} |")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def main(arguments: list[str] | None = None) -> None:
    """Follow, or train."""
    parser = argparse.ArgumentParser(description="Study where the influence of circuits is lost.")
    commands = parser.add_subparsers(required=True, dest="command")
    for name in ("stages", "parts"):
        commands.add_parser(name).add_argument("runs", nargs="+")
    training = commands.add_parser("changes")
    training.add_argument("file", type=Path)
    training.add_argument("--steps", type=int, default=120)
    training.add_argument("--seeds", type=int, default=3)
    training.add_argument("--only", nargs="*", default=list(CHANGES))
    asked = parser.parse_args(arguments)
    if asked.command in ("stages", "parts"):
        (stages if asked.command == "stages" else parts)(asked.runs)
    else:
        changes(asked.file, asked.steps, asked.seeds, asked.only)


if __name__ == "__main__":
    import study_influence  # by the name that the models have

    study_influence.main(sys.argv[1:])
