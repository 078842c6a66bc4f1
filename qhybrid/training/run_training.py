"""One session of a training run: build everything, train, and leave the run folder complete."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from rich.console import Console

from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.environment import describe_environment
from qhybrid.files import write_json
from qhybrid.influence import InfluenceRecord, read_influence
from qhybrid.kernels.announced import announced_compilation
from qhybrid.launcher import ALONE, Layout, check_devices
from qhybrid.models.control import circuit_places
from qhybrid.run_folder import RUNS, Run, usual_name
from qhybrid.run_lock import occupied
from qhybrid.run_metrics import read_metrics
from qhybrid.settings.config import Config
from qhybrid.settings.sources import save_config
from qhybrid.signals import handling, interrupt
from qhybrid.torch_device import suitable_threads
from qhybrid.training.batches import NOISE_POOL, derive_seed
from qhybrid.training.checkpoints import CheckpointKeeper, load_checkpoint
from qhybrid.training.completion import plots_are_current
from qhybrid.training.device import ConfirmSeconds, agree, agree_to_rounds, on_record
from qhybrid.training.diagnosis import MOST_STEPS, Found, Watch
from qhybrid.training.evaluations import Evaluations, Yardstick, make_yardstick
from qhybrid.training.fitting import fit_session
from qhybrid.training.health_check import warn_of_idle_weights
from qhybrid.training.influence import Probe, held_out
from qhybrid.training.metrics import MetricsLog
from qhybrid.training.metrics import Probe as EpochProbe
from qhybrid.training.outcome import Interrupted, TrainingDiverged, Unmeasured, resume_command
from qhybrid.training.plots import Plots
from qhybrid.training.preparing import prepare
from qhybrid.training.progress import ProgressDisplay
from qhybrid.training.session import Session, build_session
from qhybrid.training.state import StepHook
from qhybrid.training.stopping import SIGNALS, StopSignal
from qhybrid.training.summary import show_end, show_note, show_start
from qhybrid.training.trackers import Tracker
from qhybrid_circuits.errors import RequestError, WriteError
from qhybrid_circuits.plugins import load_reference
from qhybrid_runtime.backends.registry import check_backend_name


def run_training(
    config: Config,
    *,
    folder: Path | None,
    resumed: Run | None,
    console: Console | None,
    note: str | None = None,
    layout: Layout = ALONE,
    confirm: ConfirmSeconds | None = None,
) -> Run:
    """Train from the start, or from the newest checkpoint of a run; see `qhybrid.training.train`.

    Of several processes, `layout`, this is the first.

    Raises:
        RequestError: The data or the checkpoint cannot be used, or the run is done already.
        QpuLimitError: QPU time was not agreed to, or exceeds the limit that was set.
        Interrupted: Ctrl-C or SIGTERM; the state was saved.
        TrainingDiverged: The loss became infinite or NaN.
        WriteError: The disk is full, or refuses; the message says what is safe.
    """
    console = console or Console(quiet=True)
    agree(config, resumed, confirm)
    session = build_session(config, resumed)
    check_devices(layout, session.device)
    yardstick = make_yardstick(session, console)
    stem = usual_name(config)
    going_on = None if resumed is None else resumed.folder
    with session.backend:
        agree_to_rounds(session, resumed, confirm, console)
        with occupied(folder, "training the run", root=RUNS, stem=stem, resumed=going_on) as path:
            run = resumed or Run(path)
            if resumed is not None:
                _resume(run, session)
            with _kept(run), on_record(run, session.backend), _located(run, session, console):
                if note is not None:
                    show_note(console, note)
                begun = resumed is not None and run.environment_file.is_file()
                _train(run, session, yardstick, console, layout, resumed=begun)
    return run


def _train(
    run: Run,
    session: Session,
    yardstick: Yardstick | None,
    console: Console,
    layout: Layout,
    *,
    resumed: bool,
) -> None:
    config = session.config
    _describe(run, session, layout, resumed=resumed)
    show_start(console, run, session, layout)
    try:
        announce = partial(console.print, highlight=False, markup=False)
        seed = derive_seed(config.training.seed, NOISE_POOL, 0)
        # A pool is measured once in a run, and kept in its folder.
        session.state.module.noise = open_noise(
            config.noise_spec,
            run.noise_file,
            seed=seed,
            backend=session.backend,
            announce=announce,
        )
    except KeyboardInterrupt as interruption:
        raise Interrupted(run.newest_step(), run.folder, at_once=True) from interruption
    with announced_compilation(console):
        if not resumed:
            warn_of_idle_weights(console, session.spec, session.device)
        with suitable_threads(session.device, session.spec.image_size):
            images, probe, stop = prepare(run, session, console), _probe(session), StopSignal(run)
            hooks = _hooks(run, session, yardstick, probe, console, stop)
            fit_session(run, session, images, hooks, stop, layout)
            record = None if probe is None else _record(run, session, probe, stop)
    show_end(console, run, session, record)


def _has_influence(session: Session) -> bool:
    """Whether there are circuits, or their controls, and images to measure their influence on.

    One image is its own mean: nothing can be measured on it.
    """
    alone = session.spec.row.alone
    return not alone and bool(circuit_places(session.state.model)) and len(session.dataset) > 1


def _probe(session: Session) -> Probe | None:
    """Return what measures the circuits' influence, where they have any."""
    if not _has_influence(session):
        return None
    module = session.state.module
    return Probe(module, held_out(session.config.data, session.dataset, module))


def _record(run: Run, session: Session, probe: Probe, stop: StopSignal) -> InfluenceRecord:
    """Measure the influence in the finished model.

    Raises:
        Unmeasured: Ctrl-C or SIGTERM, here or after the last step.
    """
    state = session.state
    try:
        with handling(SIGNALS, interrupt), state.ema.swapped(state.model):
            if stop.requested:
                raise KeyboardInterrupt
            found, images = probe.influence()
    except KeyboardInterrupt as interruption:
        raise Unmeasured(state.step, run.folder) from interruption
    record = InfluenceRecord(state.step, images, probe.split, found.to_dict())
    record.save(run)
    return record


@contextmanager
def _kept(run: Run) -> Iterator[None]:
    """Say what is safe, and how to go on, where a file of the run cannot be written."""
    try:
        yield
    except WriteError as error:
        step = run.newest_step()
        kept = f"the checkpoint of step {step} is safe" if step else "there is no checkpoint yet"
        following = f"make room, then resume with: {resume_command(run.folder)}"
        if not run.config_file.exists():
            kept, following = "nothing was begun", "make room, or choose another folder with --out"
        raise WriteError(f"{error}; {kept}; {following}") from error


@contextmanager
def _located(run: Run, session: Session, console: Console) -> Iterator[None]:
    """Say in which tensor the first number was that is not finite, where a run diverges."""
    try:
        yield
    except TrainingDiverged as error:
        checkpoint = run.newest_checkpoint()
        again = build_session(session.config, run)
        if checkpoint is not None:
            load_checkpoint(checkpoint, again.state)
        count = error.step - again.state.step
        if count > MOST_STEPS or check_backend_name(session.config.quantum.backend).runs_jobs:
            raise
        console.print(f"diverged: doing the last {count} steps again to find where", markup=False)
        again.state.module.noise = session.state.module.noise
        watch, images = Watch(error.step), prepare(run, again, Console(quiet=True))
        with suppress(Found):
            fit_session(run, again, images, (watch,), StopSignal(run), ALONE)
        if watch.angles is not None:
            console.print(f"circuits: weights of at most {watch.angles:.3g} before", markup=False)
        if not watch.step:
            raise
        where = f"{watch.where} at step {watch.step}"
        raise TrainingDiverged(error.step, checkpoint, where) from error


def _resume(run: Run, session: Session) -> None:
    plan, done = session.state.plan, run.newest_step()
    checkpoint = run.newest_checkpoint()
    if checkpoint is not None:
        load_checkpoint(checkpoint, session.state)
    elif run.model_file.exists() and not run.checkpoints.exists():
        raise RequestError(
            f"'{run.folder}' has a trained model, but no checkpoint to resume from, as an export "
            f"or a copy without checkpoints; start from its weights with --init-from {run.folder}"
        )
    evaluated = {int(row["step"]) for row in read_metrics(run.metrics_file) if not row["loss"]}
    is_evaluated = not session.config.evaluation.every or done in evaluated
    if done >= plan.total_steps and is_evaluated and _is_described(run, session):
        more = f"more --epochs than {plan.epochs}"
        if plan.max_steps == plan.total_steps:
            more = f"--set training.max_steps=N with N above {done}"
        raise RequestError(
            f"the run '{run.folder}' has done all of its {done} steps; give {more} to extend it, "
            "or draw from it with `qhybrid sample`"
        )


def _is_described(run: Run, session: Session) -> bool:
    """Whether what is made of a finished run was made: a process that was killed may not have."""
    if not plots_are_current(run):
        return False
    record = read_influence(run)
    return not _has_influence(session) or (record is not None and record.step == run.newest_step())


def _describe(run: Run, session: Session, layout: Layout, *, resumed: bool) -> None:
    """Write config.toml, environment.json and, where weights were taken, transfer.json."""
    save_config(session.config, run.config_file)
    if session.transfer is not None:
        session.transfer.save(run.transfer_file)
    environment = describe_environment(
        seed=session.config.training.seed,
        backend=session.config.quantum.backend,
        gradient=session.gradient,
        noise_source=session.config.training.noise_source,
        noise_pool=session.config.training.noise_pool,
        device=session.device,
        processes=layout.size,
        resumed_at_step=run.newest_step() if resumed else None,
    )
    again = run.folder / f"environment-{run.newest_step()}.json"
    write_json(again if resumed else run.environment_file, environment)


def _hooks(
    run: Run,
    session: Session,
    yardstick: Yardstick | None,
    probe: Probe | None,
    console: Console,
    stop: StopSignal,
) -> Sequence[StepHook]:
    """Return what acts after each step, in order."""
    config = session.config
    columns = () if yardstick is None else yardstick.columns
    pictures = load_reference(session.kind.pictures)(run, session, stop)
    measured: EpochProbe | None = probe or pictures.probe
    tracker = Tracker(run, config, console)
    every = config.training.log_every
    log = MetricsLog(run, every=every, tracker=tracker, figures=columns, probe=measured)
    display = ProgressDisplay(console, run, stop)
    keeper = CheckpointKeeper(run, session.spec, config, stop)
    plots = Plots(run, config, session.dataset)
    if yardstick is None:
        return log, pictures, display, keeper, plots
    # After the checkpoint, so that a long evaluation that is stopped costs no steps.
    figures = Evaluations(run, config, yardstick, log, keeper, display, stop, console)
    return log, pictures, display, keeper, figures, plots
