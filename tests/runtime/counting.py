"""Backends whose estimator is looked at, or replaced, by a test."""

import numpy as np
import pytest
from qiskit.primitives import (
    BaseEstimatorV2,
    DataBin,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from qhybrid_runtime import Backend, get_backend


class CountingEstimator(BaseEstimatorV2):
    """Passes PUBs on and remembers them."""

    def __init__(self, estimator: BaseEstimatorV2) -> None:
        self.estimator = estimator
        self.jobs: list[list[EstimatorPub]] = []

    def run(self, pubs, *, precision=None):
        self.jobs.append([EstimatorPub.coerce(pub, precision) for pub in pubs])
        return self.estimator.run(self.jobs[-1], precision=precision)

    @property
    def parameter_sets(self) -> list[list[int]]:
        """How many parameter sets each PUB of each job had."""
        return [[pub.parameter_values.size for pub in pubs] for pubs in self.jobs]


class MappedEstimator(BaseEstimatorV2):
    """Gives a function of each PUB, of the shape of the PUB, as its values."""

    def __init__(self, values) -> None:
        self.values = values

    def run(self, pubs, *, precision=None):
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        job = PrimitiveJob(self._run, coerced)
        job._submit()
        return job

    def _run(self, pubs):
        arrays = [np.asarray(self.values(pub)) for pub in pubs]
        return PrimitiveResult(
            [PubResult(DataBin(evs=evs, stds=0 * evs, shape=evs.shape)) for evs in arrays]
        )


def counted(
    monkeypatch: pytest.MonkeyPatch, name: str = "aer"
) -> tuple[Backend, CountingEstimator]:
    """Return a backend, and its estimator that counts."""
    backend = get_backend(name)
    counter = CountingEstimator(backend.estimator())
    monkeypatch.setattr(backend, "estimator", lambda: counter)
    return backend, counter


def replaced(monkeypatch: pytest.MonkeyPatch, values) -> Backend:
    """Return a backend whose expectation values are a function of the PUB."""
    backend = get_backend("aer")
    monkeypatch.setattr(backend, "estimator", lambda: MappedEstimator(values))
    return backend
