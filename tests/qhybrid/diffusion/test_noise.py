from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.noise import NoiseSource, NoiseStream, PooledNoise, QuantumNoise
from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.diffusion.samplers import IMAGE_SAMPLERS, SAMPLERS
from qhybrid.diffusion.sampling import image_generator, sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import NoiseSpec, P2Weighting, ScheduleSpec
from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_runtime.backends import registry
from qhybrid_runtime.backends.info import BackendInfo
from qhybrid_runtime.randomness.factory import bit_source

_SPEC = ScheduleSpec()


def _model(x: Tensor, t: Tensor) -> Tensor:
    return 0.5 * x + 0.1 * torch.sin(3 * x)


def _draw(noise: NoiseSource | None, sampler: str = "ddpm", **options: Any) -> Tensor:
    options = {"shape": (5, 1, 4, 4), "steps": 6, "seed": 2, **options}
    return sample(_model, spec=_SPEC, sampler=sampler, noise=noise, **options).images


class _Recorded:
    """The generators' own noise, counted; or nothing but zeros."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.taken: list[int] = []

    def stream(self, generator: torch.Generator) -> NoiseStream:
        source, number = self, len(self.taken)
        self.taken.append(0)

        class Stream:
            def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
                source.taken[number] += 1
                return source.factor * torch.randn(tuple(shape), generator=generator, dtype=dtype)

        return Stream()


@pytest.mark.parametrize("sampler", IMAGE_SAMPLERS)
def test_all_noise_of_a_sampler_comes_from_the_source(sampler: str) -> None:
    recorded = _Recorded()
    assert torch.equal(_draw(recorded, sampler), _draw(None, sampler))
    # At the start, and in every step but those that end without noise.
    (times,) = set(recorded.taken)
    assert len(recorded.taken) == 5
    assert times >= 6 if SAMPLERS[sampler].stochastic else times == 1
    silent = _draw(_Recorded(0.0), sampler)
    assert torch.equal(silent, silent[:1].expand_as(silent))


def test_quantum_noise_gives_other_images_that_are_as_random() -> None:
    noise = QuantumNoise(bit_source("statevector"))
    stream = noise.stream(torch.Generator().manual_seed(1))
    drawn = torch.cat([stream.normal((40, 25)).flatten() for _ in range(100)])
    # 100,000 numbers: standard errors are 0.003 and 0.002.
    assert drawn.mean().item() == pytest.approx(0, abs=0.015)
    assert drawn.std().item() == pytest.approx(1, abs=0.01)
    assert len(drawn.unique()) > 99_000
    assert not torch.equal(_draw(noise), _draw(None))


@pytest.mark.parametrize("backend", ["statevector", "aer", "aer:readout=0.1"])
def test_an_image_depends_on_seed_and_index_only(backend: str) -> None:
    noise = QuantumNoise(bit_source(backend))
    together = _draw(noise)
    torch.testing.assert_close(_draw(noise, batch_size=2), together)
    torch.testing.assert_close(_draw(noise, shape=(2, 1, 4, 4), first_index=3), together[3:])
    assert not torch.equal(_draw(noise, seed=3), together)
    assert len({tuple(image.flatten().tolist()) for image in together}) == 5


def test_pooled_noise_too() -> None:
    noise = PooledNoise(torch.randn(500, generator=torch.Generator().manual_seed(0)))
    together = _draw(noise)
    torch.testing.assert_close(_draw(noise, batch_size=2), together)
    torch.testing.assert_close(_draw(noise, shape=(2, 1, 4, 4), first_index=3), together[3:])


def test_a_pool_goes_on_at_its_start() -> None:
    noise = PooledNoise(torch.arange(10.0))
    stream = noise.stream(image_generator(0, 0))
    drawn = torch.cat([stream.normal((3,)) for _ in range(8)]).tolist()
    assert drawn == [(drawn[0] + i) % 10 for i in range(24)]
    starts = {noise.stream(image_generator(0, i)).normal((1,)).item() for i in range(100)}
    assert starts == set(range(10))


def test_the_loss_takes_its_noise_from_the_source() -> None:
    images = torch.zeros(3, 1, 4, 4)
    scheduler, seen = noise_scheduler(_SPEC), []

    def model(x: Tensor, t: Tensor) -> Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    def loss(noise: NoiseSource | None, seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        return denoising_loss(
            model, images, scheduler, P2Weighting(gamma=0), generator, noise
        ).item()

    quantum = QuantumNoise(bit_source("aer"))
    assert loss(_Recorded(), 1) == loss(None, 1)
    assert loss(_Recorded(0.0), 1) == 0
    assert loss(quantum, 1) == loss(quantum, 1)
    assert len({loss(quantum, 1), loss(quantum, 2), loss(None, 1)}) == 3


def test_a_pool_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, said = tmp_path / "run" / "noise.npz", list[str]()
    spec = NoiseSpec("quantum", "aer", 1000)
    first = open_noise(spec, file, seed=4, announce=said.append)
    monkeypatch.setattr("qhybrid.diffusion.noise_pool.bit_source", None)
    again = open_noise(spec, file, seed=4, announce=said.append)
    assert isinstance(first, PooledNoise)
    assert isinstance(again, PooledNoise)
    assert torch.equal(first.numbers, again.numbers)
    assert first.numbers.std().item() == pytest.approx(1, abs=0.1)
    assert said == ["measuring 1,000 numbers of noise on aer"]
    with pytest.raises(RequestError, match="it holds 1,000 numbers of 999"):
        open_noise(NoiseSpec("quantum", "aer", 999), file)
    whole = file.read_bytes()
    for damaged in (b"nothing", whole[: len(whole) // 2], whole[:300] + b"\0" + whole[301:]):
        file.write_bytes(damaged)
        with pytest.raises(RequestError, match="cannot be read as an npz file"):
            open_noise(spec, file)


def test_wrong_sources_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown noise source 'quantm'; did you mean quant"):
        NoiseSpec("quantm")
    with pytest.raises(RequestError, match="noise_pool is of the noise source 'quantum'"):
        NoiseSpec("gaussian", pool=5)
    with pytest.raises(RequestError, match="noise_pool must be 1 to 100,000,000, but is 0"):
        NoiseSpec("quantum", pool=0)
    with pytest.raises(RequestError, match=r"million numbers take about 95 QPU seconds"):
        NoiseSpec("quantum", "ibm_fez")
    assert NoiseSpec("quantum", "ibm_fez", 1000).pool == 1000


def test_a_backend_without_bits_is_refused_with_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dumb = BackendInfo("dumb", "nowhere:Nothing")
    monkeypatch.setattr(registry, "check_backend_name", lambda name: dumb)
    with pytest.raises(RequestError, match="'dumb' is no source of random bits; take one of state"):
        NoiseSpec("quantum", "dumb", 1000)
