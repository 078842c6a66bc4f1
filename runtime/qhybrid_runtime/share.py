"""Which samples of a batch this process evaluates, where several processes evaluate it together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor

from qhybrid_circuits import RequestError


@dataclass(frozen=True)
class Share:
    """The samples of a batch that one of several processes evaluates.

    What is drawn for a batch is drawn for all of it in each process, so that a sample gets the
    numbers that it has where one process evaluates all. A circuit can be given several rows for
    each sample, those of one sample side by side.

    Attributes:
        number: Of the process, from 0.
        counts: Samples of each process, in their order.
        gather: Returns the rows of all processes, of this one's and the number that each has.
    """

    number: int
    counts: tuple[int, ...]
    gather: Callable[[Tensor, list[int]], Tensor]

    def rows_of_each(self, rows: int) -> list[int]:
        """Return how many rows of a circuit each process has where this one has `rows`.

        Raises:
            RequestError: The rows are not those of this process's samples.
        """
        each, left = divmod(rows, self.counts[self.number])
        if left:
            raise RequestError(
                f"A circuit is given {rows} rows for {self.counts[self.number]} samples of a "
                "batch, so that several processes cannot share its random numbers; use one process"
            )
        return [each * count for count in self.counts]


_CURRENT: ContextVar[Share | None] = ContextVar("share", default=None)


def current_share() -> Share | None:
    """Return what is evaluated at present; None for the whole of a batch."""
    return _CURRENT.get()


@contextmanager
def sharing(share: Share) -> Iterator[None]:
    """Let circuits that are evaluated in a block have a part of their batch.

    Args:
        share: The part.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import get_backend, quantum_layer
        >>> from qhybrid_runtime.share import Share, sharing
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> backend = get_backend("noise-aware:fake_fez", seed=0)
        >>> layer, batch = quantum_layer(circuit, backend), torch.zeros(5, 4)
        >>> whole = layer(batch)
        >>> backend.at_round(0)
        >>> with sharing(Share(1, (2, 3), lambda rows, counts: rows)):
        ...     torch.equal(layer(batch[2:]), whole[2:])
        True
    """
    token = _CURRENT.set(share)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def place_of(rows: int, share: Share | None) -> tuple[int, slice]:
    """Return how many rows of a circuit the whole batch has, and which of them are these `rows`.

    Raises:
        RequestError: See `Share.rows_of_each`.
    """
    if share is None:
        return rows, slice(0, rows)
    of_each = share.rows_of_each(rows)
    first = sum(of_each[: share.number])
    return sum(of_each), slice(first, first + rows)
