"""The installed version; apart because reading it takes longer than importing all the rest."""

from importlib.metadata import version

__version__ = version("qhybrid")
