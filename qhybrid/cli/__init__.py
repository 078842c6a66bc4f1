"""The `qhybrid` command; `main` is its entry point."""

from qhybrid.cli.main import main

__all__ = ["main"]
