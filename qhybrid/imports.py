"""Imports of libraries without what they import for next to nothing.

Each command waits for what it loads; docs/performance.md has the figures.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from importlib import metadata
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType


@contextmanager
def version_alone(package: str) -> Iterator[None]:
    """Let imports in the block find an empty package with the version of the installed one.

    What is loaded already stays, and so does what is not installed.
    """
    stand_in = ModuleType(package)
    try:
        stand_in.__version__ = version(package)  # type: ignore[attr-defined]
    except PackageNotFoundError:
        yield
        return
    with left_out(package, stand_in):
        yield


@contextmanager
def left_out(module: str, stand_in: ModuleType | None = None) -> Iterator[None]:
    """Let imports in the block find a stand-in for a module, or not find it where there is none.

    A module that is loaded already stays.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    if module in modules:
        yield
        return
    modules[module] = stand_in
    try:
        yield
    finally:
        if modules.get(module) is stand_in:
            modules.pop(module, None)


@contextmanager
def light_diffusers(**parts: tuple[str, ...]) -> Iterator[None]:
    """Let imports of diffusers in the block load neither torch's compiler nor statistics.

    The compiler is for its networks, torchvision for pictures, and scipy.stats for sigmas that are
    not asked for here; where they are, scipy finds it by itself. Of all distributions, those of
    three packages are needed.

    Args:
        parts: Modules of diffusers of which names are imported that nothing here uses, and these
            names: they stand for empty classes.
    """
    stand_ins: dict[str, tuple[str, ...]] = {"scipy.stats": (), "torchvision": ("transforms",)}
    stand_ins |= {f"diffusers.{part}": names for part, names in parts.items()}
    with ExitStack() as stack:
        stack.enter_context(left_out("torch._dynamo"))
        for module, names in stand_ins.items():
            stand_in = ModuleType(module)
            if module == "torchvision":
                # Diffusers asks whether it is installed.
                stand_in.__spec__ = find_spec(module)
            vars(stand_in).update({name: type(name, (), {}) for name in names})
            stack.enter_context(left_out(module, stand_in))
        stack.enter_context(distributions_when_needed())
        yield


class _Distributions(Mapping[str, list[str]]):
    """The distributions of each package, found when somebody first looks one up."""

    @cached_property
    def found(self) -> Mapping[str, list[str]]:
        """What importlib.metadata reads from the files of everything that is installed."""
        return metadata.packages_distributions()

    def __getitem__(self, package: str) -> list[str]:
        """Return the names of a package's distributions."""
        return self.found[package]

    def __iter__(self) -> Iterator[str]:
        """Return the packages, one after another."""
        return iter(self.found)

    def __len__(self) -> int:
        """Return how many packages there are."""
        return len(self.found)


@contextmanager
def distributions_when_needed() -> Iterator[None]:
    """Let imports in the block that ask for all distributions get them when they look one up."""
    at_once = metadata.packages_distributions
    metadata.packages_distributions = _Distributions
    try:
        yield
    finally:
        metadata.packages_distributions = at_once
