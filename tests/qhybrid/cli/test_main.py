import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qhybrid.cli import main
from qhybrid.cli.main import COMMANDS
from qhybrid_circuits.errors import QHybridError

LIGHT = """
import sys
from qhybrid.cli import main
code = main({arguments!r})
heavy = {{"torch", "qiskit", "lightning_fabric", "diffusers", "sklearn", "torchvision"}}
print(code, *sorted(heavy & set(sys.modules)), sep=",")
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


WRONG: list[tuple[list[str], list[str]]] = [
    (["train", "--model", "1hqcon-qvunet"], ["1hqcon-qvunet", "did you mean 1hqconv-qvunet"]),
    (["train", "--dataset", "digit"], ["'digit'", "did you mean digits"]),
    (["train", "--dataset", "no/such.npz"], ["no/such.npz", "does not exist"]),
    (["train", "--backend", "arr"], ["'arr'", "statevector, aer"]),
    (["train", "--gradient", "adjont"], ["'adjont'", "did you mean adjoint"]),
    (["train", "--set", "training.epoch=3"], ["training.epoch", "did you mean training.epochs"]),
    (["train", "--set", "training.epochs"], ["key=value"]),
    (["train", "--set", "sampling.sampler=ddin"], ["'ddin'", "did you mean ddim"]),
    (["train", "--config", "papr"], ["'papr'", "did you mean paper", "known: capece-scratch"]),
    (["train", "--config", "none.toml"], ["none.toml"]),
    (["train", "--epochs", "x"], ["--epochs", "'x'", "integer"]),
    (["train", "--epochs=1.5"], ["--epochs", "'1.5'", "integer"]),
    (["train", "--epochs", "0"], ["training.epochs", "0"]),
    (["train", "--precision", "16"], ["--precision", "'16'", "bf16"]),
    (["train", "--device", "tpu"], ["--device", "'tpu'", "cuda"]),
    (["train", "--dataset", "x" * 5000], ["xxx", "cannot be reached"]),
    (["train", "--dataset", "~no-such-user/x.npz"], ["~no-such-user", "does not exist"]),
    (["train", "--config", "~no-such-user/x.toml"], ["~no-such-user", "unknown user"]),
    (["train", "--out", "x" * 300], ["xxx", "cannot be reached"]),
    (["train", "--epochs", "9" * 30], ["training.epochs", "1000000000"]),
    (["train", "--model", "\x1b[31mred"], ["\\x1b[31mred"]),
    (["sample", "x" * 300], ["xxx", "cannot be reached"]),
    (["train", "--bogus"], ["--bogus", "--help"]),
    (["train", "--model"], ["--model"]),
    (["train", "--resume"], ["no run", "qhybrid train"]),
    (["train", "--resume", "--out", "nowhere"], ["nowhere", "qhybrid train"]),
    (["sample"], ["RUN"]),
    (["sample", "nowhere"], ["nowhere", "qhybrid train"]),
    (["sample", "."], ["config.toml", "qhybrid train"]),
    (["models", "--format", "html"], ["html", "json"]),
    (["trian"], ["trian", "train"]),
    (["train", "--set", "training.seed=" + "9" * 5000], ["training.seed", "integer"]),
    (
        ["train", "--set", "training.seed=0x" + "f" * 5000],
        ["training.seed", "too long to be shown"],
    ),
    (["train", "--set", "training.betas=[0x" + "f" * 5000 + "]"], ["training.betas", "too long"]),
    (["train", "--set", "training.seed=" + "[" * 5000], ["training.seed", "[[["]),
    (["train", "--set", "training.seed=" + "[" * 300 + "]" * 300], ["training.seed", "[[["]),
    (["train", "--epochs", "9" * 5000], ["--epochs", "integer"]),
    (["train", "--out", "\udcff"], ["'\\udcff'", "not UTF-8"]),
    (["train", "--dataset", "\udcff.npz", "--out", "new"], ["'\\udcff.npz'", "not UTF-8"]),
    (["report", "hqconv", "--set", "layers=--2"], ["`layers`", "'--2'"]),
    (["report", "hqconv", "--set", "layers=" + "9" * 5000], ["`layers`", "'999"]),
    (["report", "hqconv", "--out", "."], ["'.' is a folder", "--out"]),
    (["report", "hqconv", "--out", "/dev/null"], ["'/dev/null' is a device", "leave it out"]),
    (["report", "hqconv", "--out", "/proc/page"], ["'/proc/page' cannot be written", "--out"]),
    (["report", "hqconv", "--out", "/proc/new/page"], ["cannot be written", "('/proc')"]),
    (["report", "hqconv", "--set", "channels=" + "9" * 20], ["`channels`", "at most 10,000"]),
    (["sample", "nowhere", "--pack", "9" * 5000], ["--pack must be auto or a whole number"]),
    (["sample", "nowhere", "--resume", "--dry-run"], ["--dry-run", "--resume"]),
    (["train", "--seeds", "0"], ["--seeds must be 1 to 1,000", "0"]),
    (["train", "--seeds", "2", "--jobs", "0"], ["--jobs must be 1 to 1,000", "0"]),
    (["train", "--jobs", "2"], ["--jobs", "--seeds"]),
    (["train", "--seeds", "2", "--seed", str(2**63 - 1)], ["training.seed", str(2**63)]),
    (["compare"], ["RUN|GROUP..."]),
    (["compare", "nowhere", "nothing"], ["nowhere", "qhybrid train"]),
    (["compare", "nowhere", "--target", "fake_fes"], ["'fake_fes'", "did you mean fake_fez"]),
    (["compare", "nowhere", "--steps", "5"], ["--steps is for --evaluate"]),
]


@pytest.mark.parametrize(("arguments", "parts"), WRONG, ids=lambda value: " ".join(value)[:60])
def test_a_wrong_request_is_one_line_and_exit_code_2(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert not [part for part in parts if part not in printed.err], printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["models"], 0),
        (["datasets", "--format", "json"], 0),
        (["configs"], 0),
        (["backends"], 0),
        (["train", "--model", "unit", "--backend", "aer"], 2),
        (["train", "--backend", "arr"], 2),
        (["train", "--dataset", "digit"], 2),
        (["sample", "nowhere"], 2),
        (["evaluate", "--help"], 0),
        (["evaluate", "nowhere"], 2),
        (["compare", "--help"], 0),
        (["compare", "nowhere", "--target", "fake_fez"], 2),
        (["train", "--seeds", "0"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_help_listings_and_wrong_names_import_nothing_heavy(
    arguments: list[str], code: int
) -> None:
    script = LIGHT.format(arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == str(code)


def test_help_answers_within_half_a_second() -> None:
    def seconds() -> float:
        began = time.perf_counter()
        command = [sys.executable, "-m", "qhybrid", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert all(name in done.stdout for name in COMMANDS)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(3)) < 0.5


def test_the_installed_command_exits_with_the_code() -> None:
    command = [sys.executable, "-m", "qhybrid", "train", "--model", "unit"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown model 'unit'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("qpu", ["fake_lima", "fake_lima,fake_manila"])
def test_a_qpu_that_is_too_small_is_refused_with_larger_ones(
    qpu: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--backend", qpu]) == 2
    said = capsys.readouterr().err
    assert "has 12 qubits, but the target has only 5; take a QPU with 12 qubits or more" in said
    assert "fake_melbourne (15)" in said
    assert "--set model.dim=N" in said
    assert said.count("\n") == 1
    assert not Path("runs").exists()


def test_debug_anywhere_raises_instead() -> None:
    with pytest.raises(QHybridError):
        main(["--debug", "train", "--model", "unit"])
    with pytest.raises(QHybridError):
        main(["train", "--model", "unit", "--debug"])


def test_failures_of_the_work_are_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, text in (
        (QHybridError("it broke"), "error: it broke\n"),
        (OSError(28, "No space left on device"), "error: [Errno 28] No space left on device"),
        (RuntimeError("two\nlines"), "error: RuntimeError: two lines; --debug"),
        (
            RuntimeError("operator torchvision::nms does not exist"),
            "error: torch and torchvision are of different",
        ),
    ):

        def fail(error: Exception = error) -> None:
            raise error

        monkeypatch.setitem(COMMANDS, "models", fail)
        assert main(["models"]) == 1
        printed = capsys.readouterr().err
        assert printed.startswith(text)
        assert printed.count("\n") == 1


def test_ctrl_c_is_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "models", interrupt)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: qhybrid" in capsys.readouterr().out


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from qhybrid import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"qhybrid {__version__}\n"


def test_the_list_of_commands_has_whole_sentences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    assert "..." not in capsys.readouterr().out.split("Commands:")[1]


def test_a_console_whose_reader_left_goes_quiet() -> None:
    script = """
import sys
from qhybrid.cli.console import PatientConsole
console = PatientConsole()
for _ in range(3):
    console.print("line")
print("worked on", file=sys.stderr)
"""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "worked on\n")


@pytest.mark.parametrize(
    ("command", "end", "code"),
    [
        # Ctrl-C pressed once more, after everything is saved and said.
        ("raise KeyboardInterrupt", "os.kill(os.getpid(), signal.SIGINT)", 130),
        ("print('\u00fc\\udcff')", "", 0),
    ],
    ids=["interrupted twice", "letters that the terminal lacks"],
)
def test_the_process_ends_with_its_code(command: str, end: str, code: int) -> None:
    script = f"""
import os, signal, sys
from qhybrid.cli.main import COMMANDS, main
def models():
    {command}
COMMANDS["models"] = models
sys.argv = ["qhybrid", "models"]
code = main()
{end}
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5000, "a = " + "9" * 5000, "[" + "a." * 5000 + "a]"], ids=len
)
def test_toml_without_end_is_a_wrong_request(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "long.toml").write_text(text)
    assert main(["train", "--config", "long.toml"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert len(error) < 5000


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-", "0<&- >&- 2>&-"])
def test_an_error_without_a_stream_goes_nowhere(closed: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m qhybrid report unet --set dim=1 {closed}"
    done = subprocess.run(
        ["sh", "-c", command], stdout=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


def test_a_report_takes_the_place_of_a_link_s_target(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("old")
    (tmp_path / "link").symlink_to("page")
    assert main(["report", "hqconv", "--no-health", "--format", "md", "--out", "link"]) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "page").read_text().startswith("# ")
