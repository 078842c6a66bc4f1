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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from measure_influence import influence_of, interval, split_digits, trained
from torch import Tensor, nn

from qhybrid.data.load import load_dataset
from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.process import ProcessInfo
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.models import spec as specs
from qhybrid.models.attention import VertexAttention
from qhybrid.models.model_file import read_spec
from qhybrid.models.patch_circuit import PatchCircuit
from qhybrid.models.quantum_vertex import PartlyQuantumConv
from qhybrid.models.quanvolution import QuanvolutionalConv, QuanvResNetBlock
from qhybrid.models.resnet_block import ResNetBlock
from qhybrid.models.rows import ModelRow
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import load_model
from qhybrid.models.unet import DecoderLevel, UNet
from qhybrid.models.vertex import Vertex
from qhybrid.models.zoo import Execution, build_model, qvunet
from qhybrid.run_folder import open_run
from qhybrid.training.session import Session, build_session
from qhybrid_circuits.ansatz import build_ansatz
from qhybrid_runtime.health.influence import circuits_changed, relative_change

PICTURE = Path(__file__).parent / "images" / "influence-stages.png"
RATE, GROUPED = 6e-3, 21
VERTEX_AT_4 = (1, 4)
"""Multipliers of the levels that lead 8x8 images to a vertex of 4x4, as wide as that of 2x2."""


class ImageProcess(EpsilonProcess):
    """The model predicts the image, and the loss is the squared error of it."""

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        times = torch.randint(self.schedule.timesteps, (len(images),), generator=generator)
        noise = noise_source.stream(generator).normal(images.shape)
        return (
            (model(self.scheduler.add_noise(images, noise, times), times) - images).square().mean()
        )

    def epsilon(self, predicted: Tensor, x: Tensor, t: int) -> Tensor:
        signal = self.scheduler.alphas_cumprod[t]
        return cast("Tensor", (x - signal.sqrt() * predicted) / (1 - signal).sqrt())


class Nothing(nn.Module):
    """A shortcut that is none."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def convolutions(model: UNet) -> list[PartlyQuantumConv]:
    return [module for module in model.modules() if isinstance(module, PartlyQuantumConv)]


def beside(conv: PartlyQuantumConv) -> float:
    """Return the size of the outputs of the convolution beside circuits, for inputs of size 1."""
    return float(conv.classical.weight[0].numel() ** 0.5) if conv.classical else 1.0


def replace_measure(conv: PartlyQuantumConv, measure: Callable[[Tensor], Tensor]) -> None:
    conv.measure = measure  # type: ignore[assignment, method-assign]


def with_gain(model: UNet) -> None:
    """Multiply the circuits' outputs, which makes them as large as the convolution's beside them.

    It is `model.variant=scaled`.
    """
    for conv in convolutions(model):
        usual, gain = conv.measure, beside(conv)
        replace_measure(conv, lambda x, usual=usual, gain=gain: gain * usual(x))


def with_own_norm(model: UNet) -> None:
    """Normalize the circuits' channels apart from the convolution's, then the same."""
    for conv in convolutions(model):
        conv.own_norm = norm = nn.GroupNorm(1, conv.quantum_channels)
        usual, gain = conv.measure, beside(conv)
        replace_measure(conv, lambda x, f=usual, norm=norm, gain=gain: gain * norm(f(x)))


def with_groups(model: UNet) -> None:
    """Let each circuit take 21 channels instead of 3, a group of 3 after the other."""
    for conv in convolutions(model):
        circuit = cast("QuanvolutionalConv", conv).circuit
        conv.share(GROUPED, conv.quantum_channels + cast("nn.Conv2d", conv.classical).in_channels)
        replace_measure(conv, lambda x, circuit=circuit: circuit(x[:, :GROUPED]))


def with_angles(model: UNet) -> None:
    """Multiply the circuits' inputs by pi."""
    for conv in convolutions(model):
        usual = conv.measure
        replace_measure(conv, lambda x, usual=usual: usual(torch.pi * x))


def without_lowest_skip(model: UNet) -> None:
    """Give the first decoder level, which follows the vertex, zeros for its skips."""
    _without_skips(model, 1)


def without_skips(model: UNet) -> None:
    """Give all decoder levels zeros for their skips; the stem's skip stays."""
    _without_skips(model, len(model.decoder))


def _without_skips(model: UNet, count: int) -> None:
    for level in list(model.decoder)[:count]:
        usual = partial(DecoderLevel.forward, cast("DecoderLevel", level))
        level.forward = lambda x, time, first, second, usual=usual: usual(  # type: ignore[assignment,misc]
            x, time, torch.zeros_like(first), torch.zeros_like(second)
        )


def without_any_skip(model: UNet) -> None:
    """Give the last block zeros for the stem's skip, too: all goes through the vertex."""
    without_skips(model)
    model.last.register_forward_pre_hook(
        lambda _, inputs: (inputs[0] * _first_half(inputs[0]), *inputs[1:])
    )


def _first_half(x: Tensor) -> Tensor:
    half = torch.arange(x.shape[1], device=x.device) < x.shape[1] // 2
    return half[:, None, None].to(x)


def without_shortcuts(model: UNet) -> None:
    """Leave the residual blocks of the vertex without what goes around their convolutions."""
    for block in model.vertex.modules():
        if isinstance(block, ResNetBlock):
            block.shortcut = Nothing()


CHANGES: dict[str, tuple[Callable[[UNet], None], ...]] = {
    "paper": (),
    "gain": (with_gain,),
    "own_norm": (with_own_norm,),
    "angles": (with_angles,),
    "no_lowest_skip": (without_lowest_skip,),
    "no_level_skips": (without_skips,),
    "no_skips": (without_any_skip,),
    "no_shortcut": (without_shortcuts,),
    "image": (),
    "at_4x4": (),
    "gain_no_lowest_skip": (with_gain, without_lowest_skip),
    "gain_no_skips": (with_gain, without_any_skip),
    "gain_at_4x4": (with_gain,),
    "gain_at_4x4_image": (with_gain,),
    "shared_at_4x4": (with_groups,),
}


def changed(name: str, spec: ModelSpec, execution: Execution, **options: Any) -> UNet:
    """Build a 1HQConv QVU-Net, changed."""
    if "at_4x4" in name:
        model = _at_4x4(spec, execution)
    else:
        model = qvunet(spec, execution, ansatz="hqconv", circuits=1)
    for change in CHANGES[name]:
        change(model)
    return model


def _at_4x4(spec: ModelSpec, execution: Execution) -> UNet:
    width = spec.dim * VERTEX_AT_4[-1]
    circuit = build_ansatz("hqconv", channels=3, layers=spec.ansatz_layers)

    def block() -> QuanvResNetBlock:
        first, second = (
            QuanvolutionalConv(
                PatchCircuit(circuit, width, execution.backend, **execution.options), width
            )
            for _ in range(2)
        )
        return QuanvResNetBlock(first, second, width, 4 * spec.dim)

    vertex = Vertex(block(), VertexAttention(width), block())
    usual = specs.IMAGE_SIZES
    specs.IMAGE_SIZES = {**usual, 8: VERTEX_AT_4}  # type: ignore[misc]
    try:
        return UNet(vertex, image_size=8, channels=spec.channels, dim=spec.dim)
    finally:
        specs.IMAGE_SIZES = usual  # type: ignore[misc]


IMAGE = ProcessInfo(ImageProcess)
for _name in CHANGES:
    _process = {"process": IMAGE} if "image" in _name else {}
    globals()[f"ROW_{_name}"] = ModelRow(
        _name, partial(changed, _name), circuits=True, variants=("paper",), **_process
    )


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
    session = trained(f"study_influence:ROW_{name}", RATE, seed, steps, dataset)
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
