"""The entry point: parse, run a command, and turn what went wrong into one line and a code."""

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any

import typer

from qhybrid.cli.bill import bill
from qhybrid.cli.bound import bound
from qhybrid.cli.compare import compare, compare_command
from qhybrid.cli.evaluate import evaluate, evaluate_command
from qhybrid.cli.export import export
from qhybrid.cli.listings import backends, configs, datasets, models
from qhybrid.cli.report import report
from qhybrid.cli.reproduce import reproduce
from qhybrid.cli.runs import runs, show
from qhybrid.cli.sample import sample, sample_command
from qhybrid.cli.serve_fake import serve_fake
from qhybrid.cli.train import train, train_command
from qhybrid.cli.verify import verify
from qhybrid.launcher import is_quiet
from qhybrid.openmp import let_waiting_threads_sleep
from qhybrid.signals import interrupt
from qhybrid_circuits.errors import QHybridError, QpuLimitError, RequestError, TooFewQubitsError

DONE, FAILED, WRONG_REQUEST, LIMIT, INTERRUPTED = 0, 1, 2, 3, 130

_LONGEST = 4000
"""Characters of a line on what went wrong; what comes from a damaged file has no end."""

COMMANDS: dict[str, Callable[..., None]] = {
    command.__name__.replace("_", "-"): command
    for command in (
        *(train, sample, evaluate, bound, compare, reproduce, report, verify, export),
        *(runs, show, models, configs, datasets, backends, bill, serve_fake),
    )
}
"""Command name -> function; the functions import what is heavy when they are called."""

FROM_SETTINGS: dict[str, Callable[[], Callable[..., None]]] = {
    "train": train_command,
    "sample": sample_command,
    "evaluate": evaluate_command,
    "compare": compare_command,
}
"""Commands that get options from settings, which takes longer than listing the commands may."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done; 1: the work failed; 2: the request was wrong; 3: a limit on QPU time was reached, or a
    bill declined; 130: interrupted. What went wrong is one line on standard error; `--debug`,
    anywhere, raises it instead.

    Args:
        arguments: What follows the program's name; None takes it from the process.
    """
    _open_streams()
    let_waiting_threads_sleep()
    if is_quiet():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides
    elif arguments is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    if arguments is None and isinstance(sys.stdout, io.TextIOWrapper):
        # A path that the terminal's encoding lacks must not end the work that it belongs to.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = _run(list(sys.argv[1:] if arguments is None else arguments))
    if arguments is None and code == INTERRUPTED:
        # All is saved and said: one more Ctrl-C would only break into the interpreter's clean-up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _run(given: list[str]) -> int:
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"] or ["--help"]
    try:
        for argument in given:
            _check_utf8(argument)
        code = command_line(given).main(args=given, prog_name="qhybrid", standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        return _report(error, given)
    if code == INTERRUPTED and not is_quiet():
        print("interrupted", file=sys.stderr)  # noqa: T201
    return code if isinstance(code, int) else DONE


def _open_streams() -> None:
    """Give the null device to standard streams that are closed.

    Otherwise errors would go to standard output, or into the first file that is opened.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115


def _check_utf8(argument: str) -> None:
    """Refuse bytes that cannot be written into a run's files."""
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"the argument {argument!a} is not UTF-8 text; rename what has that name"
        ) from error


def command_line(given: Sequence[str]) -> Any:
    note = "Everywhere: --debug shows the traceback of an error."
    app = typer.Typer(name="qhybrid", rich_markup_mode=None, epilog=note)
    app.callback()(_options)
    # A shell that completes a command line hands it over in one of these.
    completed = " ".join(
        os.environ.get(name, "") for name in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
    )
    named = {*given, *completed.split()}
    for name, function in COMMANDS.items():
        if name in FROM_SETTINGS:
            function = FROM_SETTINGS[name]() if name in named else _only_described(function)
        app.command(name)(function)
    return typer.main.get_command(app)


def _only_described(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command without options: enough for the list of commands."""

    def described() -> None: ...

    described.__doc__ = function.__doc__
    return described


def _print_version(wanted: bool) -> None:
    if wanted:
        from qhybrid.version import __version__

        typer.echo(f"qhybrid {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Train and sample diffusion models whose U-Net vertex is a Qiskit circuit.

    `qhybrid train` alone is a complete run: it learns 8x8 digits within minutes.
    """


def _report(error: Exception, given: Sequence[str]) -> int:
    """Print one line about an error and return the exit code that goes with it."""
    from qhybrid.reproduction.outcome import ReproductionInterrupted
    from qhybrid.sampling.outcome import SamplingInterrupted
    from qhybrid.training.outcome import Interrupted

    if isinstance(error, typer.Abort):
        return _print("interrupted", INTERRUPTED)
    if isinstance(error, (Interrupted, SamplingInterrupted, ReproductionInterrupted)):
        return _print(f"interrupted: {error}", INTERRUPTED)
    if isinstance(error, TooFewQubitsError) and error.needed:
        return _print(f"error: {_with_sizes(error)}", WRONG_REQUEST)
    if isinstance(error, RequestError):
        return _print(f"error: {error}", WRONG_REQUEST)
    if isinstance(error, QpuLimitError):
        return _print(f"stopped: {error}", LIMIT)
    usage = getattr(error, "format_message", None)
    if usage is not None:  # the CLI library's own complaints about flags and arguments
        return _print(f"error: {_usage_message(error, usage(), given)}", WRONG_REQUEST)
    if isinstance(error, QHybridError):
        return _print(f"error: {error}", FAILED)
    torch_says = ("allocate memory", "out of memory")  # on the CPU, on a GPU
    if isinstance(error, MemoryError) or any(text in str(error) for text in torch_says):
        return _print(
            "error: the memory does not suffice; choose a smaller training.batch_size, model.dim "
            "or --num-images, or close other programs; --debug shows the traceback",
            FAILED,
        )
    if "operator torchvision::" in str(error):  # a wheel for CUDA beside one for the CPU
        return _print(
            "error: torch and torchvision are of different builds; install both from one index in "
            "one command, as the README's section on installation does",
            FAILED,
        )
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return _print(f"error: {kind}{error}; --debug shows the traceback", FAILED)


def _with_sizes(error: TooFewQubitsError) -> str:
    """Say of what to choose, where a QPU is too small for a model's circuits."""
    from qhybrid_runtime.hardware.snapshots import large_enough

    what = str(error).partition(";")[0]
    found = large_enough(error.needed)
    such = f", e.g. {found}" if found else ""
    return (
        f"{what}; take a QPU with {error.needed} qubits or more{such}, or a model of fewer qubits: "
        "qlatent has as many as --set model.dim=N says"
    )


def _usage_message(error: Exception, message: str, given: Sequence[str]) -> str:
    """The CLI library's message with the value that was given and where help is."""
    message = message.rstrip(".").replace("Value error, ", "").replace("Input should", "must")
    for flag in getattr(getattr(error, "param", None), "opts", ()):
        values = [text.removeprefix(f"{flag}=") for text in given if text.startswith(f"{flag}=")]
        values += [after for text, after in pairwise(given) if text == flag]
        if values and repr(values[-1]) not in message:
            message += f", but is {values[-1]!r}"
    context = getattr(error, "ctx", None)
    return f"{message}; see `{context.command_path} --help`" if context is not None else message


def _print(text: str, code: int) -> int:
    """Print one line; names that hold control characters must not reach a terminal as they are.

    Of several processes on a machine the first one prints.
    """
    if is_quiet():
        return code
    line = " ".join(text.split())
    line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 4 :]}"
    print(line, file=sys.stderr)  # noqa: T201
    return code
