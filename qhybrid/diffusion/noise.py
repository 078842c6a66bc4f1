"""Where noise comes from: PyTorch's generators, or bits that are read from qubits."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from qhybrid_runtime.randomness.coins import BitSource
from qhybrid_runtime.randomness.normal import BITS_A_NUMBER, normal_numbers

#: Numbers that a stream measures at once, unless more are asked for at once.
_MOST_AT_ONCE = 1 << 16


class NoiseStream(Protocol):
    """Standard normal numbers, one after the other."""

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the next numbers in a tensor of this shape."""


class NoiseSource(Protocol):
    """Makes streams of noise that follow from a generator's state alone.

    So a training step, or an image, has the same noise whenever and with whatever else it is
    computed.
    """

    def stream(self, generator: torch.Generator) -> NoiseStream:
        """Return the stream that starts at a generator's state; on the generator's device."""


class GaussianNoise:
    """Noise from PyTorch's generators."""

    def stream(self, generator: torch.Generator) -> NoiseStream:
        """Return a stream of `torch.randn`."""
        return _GeneratorStream(generator)


class QuantumNoise:
    """Noise that is measured when it is needed, on a simulator: its seed is the generator's."""

    def __init__(self, source: BitSource) -> None:
        """Measure noise where `source` reads bits."""
        self._source = source

    def stream(self, generator: torch.Generator) -> NoiseStream:
        """Return a stream whose measurements are seeded by the generator."""
        return _BufferedStream(self._measured, generator)

    def _measured(self, count: int, generator: torch.Generator) -> Tensor:
        seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
        return normal_numbers(self._source.bits(BITS_A_NUMBER * count, int(seed)))


class PooledNoise:
    """Noise that was measured beforehand; a stream starts at a random place of it.

    A stream goes on from the pool's end at its start. Streams may overlap, and do so often where
    they take more than a small part of the pool.

    Attributes:
        numbers: The pool, float32 (n,).
    """

    def __init__(self, numbers: Tensor) -> None:
        """Take a pool of at least one number, float32 (n,)."""
        self.numbers = numbers

    def stream(self, generator: torch.Generator) -> NoiseStream:
        """Return a stream that starts where the generator says."""
        length = len(self.numbers)
        place = int(torch.randint(length, (), generator=generator, device=generator.device))

        def following(count: int, _: torch.Generator) -> Tensor:
            nonlocal place
            taken = self.numbers[torch.arange(place, place + count) % length]
            place = (place + count) % length
            return taken

        return _BufferedStream(following, generator)


@dataclass(frozen=True)
class _GeneratorStream:
    generator: torch.Generator

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        generator = self.generator
        return torch.randn(*shape, generator=generator, device=generator.device, dtype=dtype)


class _BufferedStream:
    """Asks for twice as many numbers each time: few runs of a circuit serve many steps."""

    def __init__(
        self, draw: Callable[[int, torch.Generator], Tensor], generator: torch.Generator
    ) -> None:
        self._draw, self._generator = draw, generator
        self._left, self._next = torch.empty(0), 0

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        count = math.prod(shape)
        missing = count - len(self._left)
        if missing > 0:
            drawn = self._draw(max(missing, self._next), self._generator)
            self._left = torch.cat([self._left, drawn])
            self._next = min(2 * len(drawn), _MOST_AT_ONCE)
        taken, self._left = self._left[:count], self._left[count:]
        return taken.reshape(tuple(shape)).to(self._generator.device, dtype)


def drawn_from(
    noise: NoiseSource, generators: Sequence[torch.Generator], streams: Sequence[NoiseStream]
) -> AbstractContextManager[Any]:
    """Let `torch.randn` with one of these generators take its numbers from the stream beside it.

    diffusers' schedulers draw the noise of their steps so, and most take it no other way.
    """
    if isinstance(noise, GaussianNoise):
        return nullcontext()
    return _DrawnFrom(generators, streams)


class _DrawnFrom(TorchFunctionMode):
    def __init__(
        self, generators: Sequence[torch.Generator], streams: Sequence[NoiseStream]
    ) -> None:
        super().__init__()
        # The pairs are kept, so that no generator's id comes to mean another one.
        self._pairs = {id(g): (g, s) for g, s in zip(generators, streams, strict=True)}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        pair = self._pairs.get(id(kwargs.get("generator")))
        if func is not torch.randn or pair is None:
            return func(*args, **kwargs)
        drawn = pair[1].normal(args[0], kwargs.get("dtype") or torch.get_default_dtype())
        return drawn.to(kwargs.get("device"))
