from collections.abc import Sequence

import numpy as np

from qhybrid_circuits import RequestError
from qhybrid_runtime.device_noise.noisy_circuit import FaultLocation


def check_seed(seed: int | None) -> None:
    """Check the seed of random errors.

    Raises:
        RequestError: It is neither None nor a whole number of at least 0.
    """
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise RequestError(
            f"Argument `seed` must be a whole number of at least 0, or None, but is {seed!r}"
        )


class ErrorSampler:
    """Draws the Paulis that act at the error sites of a circuit.

    Attributes:
        num_sites: Error sites of the circuit.
        error_probability: Probability that at least one location errs.
    """

    def __init__(self, locations: Sequence[FaultLocation], num_sites: int) -> None:
        """Prepare to draw from independent locations on sites 0 to `num_sites` - 1."""
        self.num_sites = num_sites
        locations = [loc for loc in locations if loc.channel.error_probability]
        self._error = np.array([loc.channel.error_probability for loc in locations])
        # Sums of logarithms: a product of so many factors would lose small probabilities.
        survived = np.concatenate([[0.0], np.cumsum(np.log1p(-self._error))])
        self.error_probability = float(-np.expm1(survived[-1]))
        # Cumulative probabilities of the location that errs first.
        self._first_error = np.cumsum(np.exp(survived[:-1]) * self._error)
        widest = max((loc.channel.num_qubits for loc in locations), default=0)
        # Cumulative probabilities of the strings, given that one acts: a row per location, filled
        # up with ones where it has fewer qubits than the widest.
        self._strings = np.ones((len(locations), 4**widest - 1))
        # A location's missing digits go to one more site, which is dropped.
        self._sites = np.full((len(locations), widest), num_sites)
        for row, loc in enumerate(locations):
            cumulative = np.cumsum(loc.channel.probabilities[1:]) / self._error[row]
            self._strings[row, : len(cumulative) - 1] = cumulative[:-1]
            self._sites[row, : len(loc.sites)] = loc.sites

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return errors of trajectories: codes (count, n_sites), uint8, 0 I, 1 X, 2 Y, 3 Z."""
        return self._codes(rng.random((count, len(self._error))) < self._error, rng)

    def draw_faulty(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return what `draw` does, given that each trajectory has at least one error.

        The first location to err is drawn from its distribution; those after it are independent.
        There must be a location that may err.
        """
        errs = rng.random((count, len(self._error))) < self._error
        level = rng.random(count) * self._first_error[-1]
        first = np.searchsorted(self._first_error[:-1], level, side="right")
        errs &= np.arange(len(self._error)) > first[:, None]
        errs[np.arange(count), first] = True
        return self._codes(errs, rng)

    def _codes(self, errs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        codes = np.zeros((len(errs), self.num_sites + 1), dtype=np.uint8)
        trajectories, numbers = np.nonzero(errs)
        levels = rng.random((len(numbers), 1))
        strings = 1 + (levels >= self._strings[numbers]).sum(axis=1)
        for digit, sites in enumerate(self._sites.T):
            paulis = (strings >> 2 * digit & 3).astype(np.uint8)
            # Locations may share a site: the product of two Paulis is the XOR of their codes.
            np.bitwise_xor.at(codes, (trajectories, sites[numbers]), paulis)
        return codes[:, : self.num_sites]
