"""Compute gradients from the backend's own values at points around the one in question."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from torch import Tensor

from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.gradients.method import GradientMethod, Point, Vjp


@dataclass(frozen=True, eq=False)
class Probes:
    """The evaluations of one circuit that its gradient follows from.

    Attributes:
        circuit: The circuit to evaluate.
        values: Parameter values in the order of `circuit.parameters`, shape
            (n_probes, B, n_parameters).
        pubs: Number of PUBs that the probes are sent as, equal parts in their order: one for each
            set of weights, where sets are few, so that weights are bound before all else.
        combine: Maps one number per probe and sample, (n_probes, B), that is linear in the outputs,
            to its derivatives, (B, n_inputs + n_weights).
    """

    circuit: QuantumCircuit
    values: np.ndarray
    pubs: int
    combine: Callable[[np.ndarray], np.ndarray]


class ProbingMethod(GradientMethod):
    """A gradient from one job on the backend, whose PUBs hold all samples."""

    @abstractmethod
    def probes(self, point: Point) -> Probes:
        """Return what to evaluate."""

    def vjp(
        self, points: Sequence[Point], cotangents: Sequence[Tensor], backend: Backend
    ) -> list[Vjp]:
        probes = [self.probes(point) for point in points]
        results = []
        found = _evaluate(points, probes, backend)
        for point, probe, values, each in zip(points, probes, found, cotangents, strict=True):
            weighed = np.einsum("pbo,bo->pb", values, each.detach().cpu().double().numpy())
            table = torch.as_tensor(probe.combine(weighed))
            split = point.inputs.shape[1]
            by_inputs = table[:, :split].to(point.inputs) if point.by_inputs else None
            by_weights = table[:, split:].sum(0).to(point.weights) if point.by_weights else None
            results.append(Vjp(by_inputs, by_weights))
        return results

    def jacobian(self, point: Point, backend: Backend) -> np.ndarray:
        probe = self.probes(point)
        values = _evaluate([point], [probe], backend)[0]
        return np.stack([probe.combine(output) for output in np.moveaxis(values, -1, 0)], axis=1)


def _evaluate(
    points: Sequence[Point], probes: Sequence[Probes], backend: Backend
) -> list[np.ndarray]:
    """Return values (n_probes, B, n_outputs) of each circuit, from one job."""
    both = zip(points, probes, strict=True)
    pubs = [_pubs(point, probe, backend.precision) for point, probe in both]
    # A job without circuits is not sent, let alone paid for.
    job = [pub for some in pubs for pub in some]
    results = iter(backend.estimator().run(job).result() if job else ())
    values = []
    for point, probe, some in zip(points, probes, pubs, strict=True):
        shape = (*probe.values.shape[:2], point.circuit.variational.num_outputs)
        parts = [np.asarray(next(results).data.evs).T for _ in some]
        values.append(np.concatenate(parts).reshape(shape) if parts else np.zeros(shape))
    return values


def _pubs(point: Point, probe: Probes, precision: float) -> list[EstimatorPub]:
    """Return the circuit's PUBs; none where there is nothing to find out."""
    if not probe.values.size:
        return []
    rows = [part.reshape(-1, part.shape[-1]) for part in np.split(probe.values, probe.pubs)]
    return [point.circuit.pub_of(probe.circuit, part, precision) for part in rows]


def side_by_side(point: Point) -> np.ndarray:
    """Return inputs and weights of each sample in double precision, (B, n_inputs + n_weights)."""
    inputs, weights = point.inputs.detach(), point.weights.detach()
    both = torch.cat([inputs, weights.expand(len(inputs), -1)], dim=1)
    return np.asarray(both.cpu().double())
