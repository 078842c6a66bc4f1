"""The folder of a group: runs whose configurations differ in the seed alone."""

from dataclasses import dataclass
from pathlib import Path

from qhybrid.files import InFolder
from qhybrid.run_folder import GROUP_FILE, Run
from qhybrid.settings.config import Config


@dataclass(frozen=True)
class Group:
    """A group's folder; it has a folder `seed-N`, maybe empty yet, for each of its runs.

    Attributes:
        folder: Its path.
    """

    folder: Path

    config_file = InFolder(GROUP_FILE)
    """The configuration of all runs, with the lowest of their seeds (TOML)."""

    def config(self) -> Config:
        """Read the configuration of the run with the lowest seed.

        Raises:
            RequestError: The file is damaged.
        """
        from qhybrid.settings.sources import saved_config

        return saved_config(self.config_file)

    def run(self, seed: int) -> Run:
        """The run with a seed, begun or not."""
        return Run(self.folder / f"seed-{seed}")

    def seeds(self) -> list[int]:
        """The seeds of all runs, begun or not, in order."""
        tails = (path.name.removeprefix("seed-") for path in self.folder.glob("seed-*"))
        return sorted(int(tail) for tail in tails if tail.isdecimal())

    def runs(self) -> list[Run]:
        """The runs that were begun, by their seeds."""
        return [run for run in map(self.run, self.seeds()) if run.config_file.is_file()]


def is_group(folder: Path) -> bool:
    """Whether a folder is a group's."""
    return (folder / GROUP_FILE).is_file()
