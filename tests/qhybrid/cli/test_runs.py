import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qhybrid.cli import main
from qhybrid.cli.pictures import colored, shaded, shows_sixels, sixel
from qhybrid.run_folder import Run
from qhybrid.run_list import list_runs
from qhybrid.run_lock import locked
from qhybrid.settings.config import Config
from qhybrid.settings.sources import save_config


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that was stopped after an epoch."""
    run = Run(tmp_path / "runs" / "one")
    run.samples.mkdir(parents=True)
    save_config(Config(), run.config_file)
    heading = "step,epoch,loss,learning_rate,steps_per_second,fid"
    run.metrics_file.write_text(f"{heading}\n10,1,0.25,0.001,5,\n10,1,,,,42\n")
    Image.new("RGB", (4, 4), (250, 128, 3)).save(run.sample_grid(1))
    return run


def test_runs_are_listed_with_state_loss_and_figures(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = Run(run.folder.parent / "two")
    damaged.folder.mkdir()
    damaged.config_file.write_text("[")
    root = str(run.folder.parent)
    assert main(["runs", root, "--format", "json"]) == 0
    one, two = json.loads(capsys.readouterr().out)
    assert (one["state"], one["step"], one["loss"]) == ("stopped", 10, 0.25)
    assert one["figures"] == {"fid": 42}
    assert two["state"] == "unreadable"
    assert str(damaged.config_file) in two["problem"]
    with locked(run.folder):
        assert main(["runs", root]) == 0
    assert re.search(r"one +training +1hqconv-qvunet +digits", capsys.readouterr().out)
    assert main(["runs", root + "/none"]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_run_whose_parts_are_not_found_here_is_not_called_damaged(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run.config_file.write_text('[model]\nname = "qbottleneck-unet"\nansatz = "elsewhere:ansatz"\n')
    assert main(["runs", str(run.folder.parent)]) == 0
    printed, said = capsys.readouterr()
    assert re.search(r"one +unreadable", printed)
    assert said.count("\n") == 1
    assert said.startswith("note: ")
    assert "elsewhere" in said


def test_a_terminal_of_80_columns_has_whole_words_and_figures(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.folder.parent)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    config = run.config_file.read_text().replace('"digits"', f'"{run.folder.parent}/pictures"')
    run.config_file.write_text(config)
    values = ", ".join(["0.123456"] * 8)
    names = ",".join(f"figure-{number}" for number in range(8))
    run.metrics_file.write_text(
        f"step,epoch,loss,learning_rate,steps_per_second,{names}\n10,1,0.25,0.001,5,{values}\n"
    )
    assert main(["runs", "."]) == 0
    printed, said = capsys.readouterr()
    for word in ("stopped", "1hqconv-qvunet", "pictures", "0.25", "figure-7"):
        assert word in printed
    assert said == ""
    assert max(map(len, printed.splitlines())) <= 80


def test_a_stopped_run_is_at_the_step_that_it_was_saved_at(run: Run) -> None:
    run.checkpoint(13).parent.mkdir(parents=True, exist_ok=True)
    run.checkpoint(13).touch()
    assert list_runs(run.folder.parent)[0].step == 13


def test_figures_of_evaluate_are_listed_with_those_of_training(run: Run) -> None:
    path = run.samplings / "evaluate-1" / "evaluation-1" / "evaluation.json"
    path.parent.mkdir(parents=True)
    rest = {"low": 0.0, "high": 99.0, "floor": 0.1, "images": 256}
    figures = [{"name": name, "value": value, **rest} for name, value in (("fid", 7), ("IS", 3))]
    path.write_text(json.dumps({"figures": figures}))

    def listed() -> dict[str, float] | None:
        return list_runs(run.folder.parent)[0].figures

    trained = run.metrics_file.stat().st_mtime
    os.utime(path, (trained + 1, trained + 1))
    assert listed() == {"fid": 7, "IS": 3}
    os.utime(path, (trained - 1, trained - 1))  # Training has gone on since.
    assert listed() == {"fid": 42, "IS": 3}
    path.write_text('{"figures": [{"name": "fid"}]}')
    assert listed() == {"fid": 42}


def test_the_newest_picture_is_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run.folder)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["++++", "++++", str(run.sample_grid(1))]  # half as high, without colours
    run.sample_grid(1).unlink()
    assert main(["show", str(run.folder)]) == 2
    assert "has no picture yet" in capsys.readouterr().err


def test_half_blocks_hold_every_pixel(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    cell = r"38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀"
    found = np.array(re.findall(cell, colored(path, 80)))
    halves = found.astype(int).reshape(3, 5, 2, 3)
    np.testing.assert_array_equal(halves.transpose(0, 2, 1, 3).reshape(6, 5, 3), pixels)
    assert max(map(len, shaded(path, 3).splitlines())) <= 3


@pytest.mark.parametrize(
    ("line", "wanted"), [("qhybrid ver", "verify"), ("qhybrid train --backe", "--backend")]
)
def test_a_shell_completes_commands_and_options(
    line: str,
    wanted: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_QHYBRID_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split() == [wanted]


def unsixel(text: str) -> np.ndarray:
    """Return the picture (H, W, 3) that sixels show, by their grammar (DEC STD 070)."""
    body = re.fullmatch(r"\x1bP0;1q(.*)\x1b\\", text, re.DOTALL)
    assert body is not None
    palette: dict[int, list[int]] = {}
    x = y = color = 0
    for token in re.findall(r'"[\d;]+|#\d+;2;[\d;]+|#\d+|!\d+.|.', body[1]):
        if token[0] == '"':
            width, height = map(int, token.split(";")[2:])
            picture = np.zeros((height, width, 3), dtype=int)
        elif token[0] == "#" and ";" in token:
            number, _, *levels = map(int, token[1:].split(";"))
            palette[number] = levels
        elif token[0] == "#":
            color = int(token[1:])
        elif token in "$-":
            x, y = 0, y + 6 * (token == "-")
        else:
            count = int(token[1:-1] or 1) if token[0] == "!" else 1
            for bit in range(6):
                if ord(token[-1]) - 63 >> bit & 1:
                    picture[y + bit, x : x + count] = palette[color]
            x += count
    return picture


def test_sixels_hold_every_pixel(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (20, 9, 3), dtype=np.uint8)  # three bands and a rest, 180 colours
    pixels[3, 2:8] = pixels[3, 2]
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    per_cent = np.round(pixels * 100.0 / 255)
    assert np.abs(unsixel(sixel(path, 80)) - per_cent).max() <= 1
    assert unsixel(sixel(path, 1)).shape[1] == 8


def test_the_form_is_the_one_asked_for(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for form, begin in {"sixel": "\x1bP", "blocks": "\x1b[38", "text": "+"}.items():
        assert main(["show", str(run.folder), "--as", form]) == 0
        assert capsys.readouterr().out.startswith(begin)
    assert main(["show", str(run.folder), "--as", "sixels"]) == 2
    assert "sixel" in capsys.readouterr().err


def test_terminals_that_show_sixels_are_known() -> None:
    assert shows_sixels({"TERM": "foot-extra"})
    assert shows_sixels({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"})
    assert not shows_sixels({"TERM": "foot", "TMUX": "/tmp/tmux-0/default,1,0"})
    assert not shows_sixels({"TERM": "xterm-256color"})
    assert not shows_sixels({})
