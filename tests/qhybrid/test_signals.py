"""Ctrl-C while modules are loaded."""

import importlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from qhybrid.signals import handling, interrupt

#: A module that takes a while to load, and is interrupted meanwhile.
SLOW = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.2)
LOADED = True
"""


def test_an_import_is_not_interrupted_but_what_follows_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A KeyboardInterrupt in the import of a C++ extension ended the process by SIGABRT."""
    (tmp_path / "slow_to_load.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)

    def load_and_work() -> None:
        importlib.import_module("slow_to_load")
        time.sleep(10)

    with handling([signal.SIGINT], interrupt), pytest.raises(KeyboardInterrupt):
        load_and_work()
    assert sys.modules.pop("slow_to_load").LOADED


def test_elsewhere_it_acts_at_once() -> None:
    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    with handling([signal.SIGINT], interrupt), pytest.raises(KeyboardInterrupt):
        work()
