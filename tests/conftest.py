import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

# pytest-xdist runs a process a core; threads inside each would only fight for the cores. It is
# read when torch loads, and by the processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qhybrid import diagrams
from qhybrid.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

settings.register_profile("qhybrid", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("qhybrid")

# Nothing of a user's cache is read or written; worker processes share the first process's folder.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["QHYBRID_CACHE_DIR"] = tempfile.mkdtemp(prefix="qhybrid-tests-")

# With each request IBM's client would look for its caller in the source of every module.
os.environ["USAGE_DATA_OPT_OUT"] = "True"

# Triton reads it when kernels are defined: without a GPU its interpreter runs them, on the CPU.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


_draw_figure, _drawn = diagrams.save_figure, dict[tuple[float, ...], bytes]()


@wraps(_draw_figure)
def _draw_once(figure: "Figure", path: Path) -> None:
    """Draw the first figure of each size, and write its picture in place of all others.

    Hundreds of tests train for a step, and to draw the pictures of a run takes longer than that.
    """
    size = tuple(figure.get_size_inches())
    if size not in _drawn:
        _draw_figure(figure, path)
        _drawn[size] = path.read_bytes()
    with replacing(path) as temporary:
        temporary.write_bytes(_drawn[size])


diagrams.save_figure = _draw_once


def pytest_unconfigure() -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ["QHYBRID_CACHE_DIR"], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with circuits, which have no kernels, and with the files of the slowest tests.

    Of two processes one gets the former: the other compiles the kernels meanwhile, for both. And no
    process is left alone with a slow test.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    circuits = Path(__file__).parent / "circuits"
    items.sort(key=lambda item: (circuits not in item.path.parents, item.path not in slow))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed of the test's own, the same in every run and whatever tests run before it."""
    return int.from_bytes(hashlib.sha256(request.node.nodeid.encode()).digest()[:4], "little")


@pytest.fixture(autouse=True)
def _global_random_numbers(seed: int) -> None:
    """Numbers without a generator of their own do not depend on what tests ran before either."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class FromHost(TorchDispatchMode):
    """Lists operations that take numbers from the host's memory to torch device "meta".

    There nothing has a value, so that whatever asks for one raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given, found = (
            {each.device.type for each in tree_leaves(some) if isinstance(each, torch.Tensor)}
            for some in ((args, kwargs), result)
        )
        # A number on its own becomes an argument of the launch, unless it is copied itself.
        alone = all(not each.dim() for each in tree_leaves(args) if _on_host(each))
        copied = not alone or func._opname in ("_to_copy", "copy_")
        if "cpu" in given and "meta" in found and copied:
            self.found.append(func._opname)
        return result


def _on_host(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "cpu"


@pytest.fixture
def from_host() -> FromHost:
    """Lists what a GPU would be sent from the host's memory, with "meta" in its place."""
    return FromHost()


@pytest.fixture
def files_of_at_most() -> Callable[[int], AbstractContextManager[None]]:
    """Let the system refuse, for the time of a block, to write more bytes into a file.

    To the process that is as a full disk, but for the reason that it is told.
    """
    import resource

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return limited
