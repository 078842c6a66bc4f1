import numpy as np
import pytest
from qiskit_aer.noise import depolarizing_error

from qhybrid_runtime.device_noise.channels import PauliChannel
from qhybrid_runtime.device_noise.error_sampler import ErrorSampler
from qhybrid_runtime.device_noise.noisy_circuit import FaultLocation

COUNT = 40_000


@pytest.fixture
def locations() -> list[FaultLocation]:
    """One that never errs, one on a site of its own, two that share a site."""
    biased = PauliChannel(np.array([1.0, 0.9, 0.8, 0.75]))
    pair = PauliChannel.twirled(depolarizing_error(0.2, 2))
    return [
        FaultLocation((1,), PauliChannel(np.ones(4))),
        FaultLocation((0,), biased),
        FaultLocation((1, 2), pair),
        FaultLocation((2, 3), biased.on([1], 2).then(pair)),
    ]


def exact_distribution(locations: list[FaultLocation]) -> np.ndarray:
    """Probability of each string on sites 0 to 3, by composing the channels."""
    total = PauliChannel(np.ones(4**4))
    for location in locations:
        total = total.then(location.channel.on(location.sites, 4))
    return total.probabilities


def frequencies(codes: np.ndarray) -> np.ndarray:
    numbers = codes.astype(np.int64) @ 4 ** np.arange(4)
    return np.bincount(numbers, minlength=4**4) / len(codes)


def check_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Within five standard errors, for each string."""
    allowed = 5 * np.sqrt(expected * (1 - expected) / COUNT) + 1e-9
    assert (np.abs(found - expected) <= allowed).all()


def test_draws_follow_the_composed_channels(
    locations: list[FaultLocation], rng: np.random.Generator
) -> None:
    codes = ErrorSampler(locations, 4).draw(COUNT, rng)
    assert codes.dtype == np.uint8
    check_close(frequencies(codes), exact_distribution(locations))


def test_faulty_draws_and_the_perfect_case_make_up_the_whole(
    locations: list[FaultLocation], rng: np.random.Generator
) -> None:
    sampler = ErrorSampler(locations, 4)
    none = np.prod([1 - location.channel.error_probability for location in locations])
    assert sampler.error_probability == pytest.approx(1 - none)
    faulty = frequencies(sampler.draw_faulty(COUNT, rng)) * sampler.error_probability
    faulty[0] += none
    check_close(faulty, exact_distribution(locations))


def test_every_faulty_draw_has_an_error(rng: np.random.Generator) -> None:
    channel = PauliChannel(np.array([1.0, 1 - 2e-6, 1 - 2e-6, 1.0]))
    rare = [FaultLocation((site,), channel) for site in range(3)]
    codes = ErrorSampler(rare, 3).draw_faulty(300, rng)
    # A Z with probability 1e-6: never two of them, and any location as often as the others.
    assert (codes.sum(axis=1) == 3).all()
    assert (np.abs((codes > 0).mean(axis=0) - 1 / 3) < 5 * np.sqrt(2 / 9 / 300)).all()


def test_the_same_generator_draws_the_same_errors(locations: list[FaultLocation]) -> None:
    sampler = ErrorSampler(locations, 4)
    first, second = (sampler.draw(50, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("locations", [[], [FaultLocation((0,), PauliChannel(np.ones(4)))]])
def test_a_circuit_without_noise_never_errs(
    locations: list[FaultLocation], rng: np.random.Generator
) -> None:
    sampler = ErrorSampler(locations, 2)
    assert sampler.error_probability == 0
    assert not sampler.draw(5, rng).any()
