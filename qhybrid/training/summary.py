"""What is printed before and after a run."""

import shlex

from rich.console import Console

from qhybrid.influence import InfluenceRecord, in_words
from qhybrid.launcher import ALONE, Layout
from qhybrid.models.catalog import catalog
from qhybrid.printing import print_lines
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.training.session import Session
from qhybrid.words import counted
from qhybrid_runtime import QuantumLayer

MOST_OF_THE_START = 0.1
"""The share of the first weights in their average from which on a user is told of it."""


def show_start(console: Console, run: Run, session: Session, layout: Layout = ALONE) -> None:
    """Say what is trained on what, and where it goes."""
    config, dataset, plan = session.config, session.dataset, session.state.plan
    model = session.state.model
    count = sum(p.numel() for p in model.parameters())
    parameters = f"{count:,} parameters"
    if session.spec.row.process.latents:
        denoiser = sum(p.numel() for p in model.parameters() if p.requires_grad)
        parameters = f"{denoiser:,} parameters, and an autoencoder of {count - denoiser:,}"
    epochs, steps = counted(plan.epochs, "epoch"), counted(plan.total_steps, "step")
    kind = session.kind.name
    batch = counted(plan.batch_size, kind.removesuffix("s"))
    if plan.accumulate > 1:
        batch = f"{plan.batch_size}x{plan.accumulate} {kind}"
    step, several = run.newest_step(), "" if layout.size == 1 else f"{layout.size} x "
    print_lines(
        console,
        {
            "model": f"{config.model.name}, {parameters}",
            session.kind.label: f"{config.data.dataset}, {dataset.described}",
            "backend": _backend(session),
            **_natural_gradient(session.config),
            "device": f"{several}{session.device}, precision {config.training.precision}",
            "training": f"{epochs}, {steps} of {batch}, seed {config.training.seed}",
            **(session.transfer.lines() if session.transfer else {}),
            "folder": f"{run.folder}" + (f", resumed at step {step}" if step else ""),
        },
    )
    for note in (*dataset.notes, *_slow_average(session)):
        show_note(console, note)


def show_note(console: Console, note: str) -> None:
    """Print a remark that is no error."""
    console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)


def show_end(console: Console, run: Run, session: Session, record: InfluenceRecord | None) -> None:
    """Say what the circuits change, where the results are and what can be done next."""
    plan = session.state.plan
    grid = run.sample_grid(plan.epoch_of(plan.total_steps))
    following = f"qhybrid sample {shlex.quote(str(run.folder))}"
    plots = ", ".join(
        str(path)
        for path in (run.loss_plot, run.figures_plot, run.forward_plot, run.fidelity_plot)
        if path.is_file()
    )
    lines = {"samples": str(grid), "plots": plots, "model": str(run.model_file), "next": following}
    if record is not None:
        said = in_words(record.influence, control=session.spec.row.control)
        lines = {"influence": f"{said}; see docs/influence.md", **lines}
    print_lines(console, lines, width=max(map(len, lines)))


def _slow_average(session: Session) -> list[str]:
    """Say if images will be drawn with weights that are largely those before training."""
    state = session.state
    share = state.ema.initial_share(state.plan.total_steps)
    if share < MOST_OF_THE_START:
        return []
    return [
        f"images are drawn with averaged weights, and {share:.0%} of those will still be the "
        "weights before training; train longer, or with --set ema.warmup=true or a smaller "
        "ema.decay"
    ]


def _backend(session: Session) -> str:
    if not session.spec.row.circuits:
        return "none needed, the model has no circuits"
    text = f"{session.config.quantum.backend}, gradient {session.gradient}"
    entry = next((each for each in catalog() if each["name"] == session.spec.name), None)
    modules = session.state.model.modules()
    sizes = [each.variational.num_qubits for each in modules if isinstance(each, QuantumLayer)]
    if entry is None or not sizes:
        return text
    if session.spec.row.alone:
        return f"{text}, {max(sizes)} qubits"
    circuits = (entry["circuits_per_step"] or 0) * (session.spec.circuits or 1)
    return f"{text}, {max(sizes)} qubits, {counted(circuits, 'circuit')} per denoising step"


def _natural_gradient(config: Config) -> dict[str, str]:
    if config.training.optimizer != "qng":
        return {}
    natural = config.natural_gradient
    often = "each step" if natural.every == 1 else f"every {natural.every} steps"
    samples = counted(natural.samples, "sample")
    rate = f"along the natural gradient, rate {natural.learning_rate:g}"
    return {"circuits": f"{rate}, {natural.metric} metric of {samples} {often}"}
