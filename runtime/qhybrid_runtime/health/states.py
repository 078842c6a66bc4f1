"""Compute the states that a circuit reaches, and measures of how they are spread."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.engine.program import compile_program
from qhybrid_runtime.engine.torch.executor import TorchExecutor

#: Equal parts of the unit interval in the histogram of fidelities, as many as Sim et al. take.
BINS = 75

States = NDArray[np.complex128]


def random_states(
    variational: VariationalCircuit, num_inputs: int, num_weights: int, rng: np.random.Generator
) -> States:
    """Return the circuit's states at random inputs and weights, in [-pi, pi).

    Each of the `num_weights` weight vectors is used with each of the `num_inputs` input vectors.
    The states have the shape (num_weights, num_inputs, 2**n_qubits), qubit 0 least significant.
    """
    inputs = rng.uniform(-math.pi, math.pi, (1, num_inputs, variational.num_inputs))
    weights = rng.uniform(-math.pi, math.pi, (num_weights, variational.num_weights))
    rows = torch.from_numpy(inputs).expand(num_weights, -1, -1)
    return states(variational, rows, torch.from_numpy(weights))


@torch.no_grad()
def states(variational: VariationalCircuit, inputs: Tensor, weights: Tensor) -> States:
    """Return the circuit's states (G, B, 2**n) for inputs (G, B, n_in) and weights (G, n_w)."""
    program = compile_program(variational)
    executor = TorchExecutor(program, range(program.num_qubits))
    state = executor.states(*program.angles(inputs, weights))
    return np.asarray(state.transpose(1, 2))


def expressibility(reached: States) -> float:
    """Return the divergence of states' fidelities from those of uniformly random states.

    Sim, Johnson and Aspuru-Guzik (2019), equations 8 to 10: the Kullback-Leibler divergence, in
    nats, of the histogram of F = |<psi|phi>|^2 from that of Haar-random states, whose density is
    (N-1) (1-F)^(N-2). The bins are equal in u = 1 - (1-F)^(N-1), which is uniform for Haar-random
    states; the divergence does not depend on that change of variable, and bins that are equal in F
    would put all pairs of many-qubit states into the first. For one qubit u is F. The states,
    shape (n_weights, n_inputs, N), are paired within each input.

    Returns:
        0 for Haar-random states (in practice 37 over the number of pairs), log(75) where all states
        are the same.
    """
    count, _, dimension = reached.shape
    first, second = np.triu_indices(count, 1)
    by_input = reached.transpose(1, 0, 2)
    overlaps = np.abs(by_input.conj() @ by_input.transpose(0, 2, 1)) ** 2
    fidelities = np.clip(overlaps[:, first, second].ravel(), 0.0, 1.0)
    uniform = -np.expm1((dimension - 1) * np.log1p(-np.minimum(fidelities, 1 - 1e-15)))
    counts, _ = np.histogram(uniform, bins=BINS, range=(0.0, 1.0))
    shares = counts[counts > 0] / counts.sum()
    return float((shares * np.log(shares * BINS)).sum())


def entangling_capability(reached: States) -> float:
    """Return the mean Meyer-Wallach measure Q of states (..., 2**n).

    Q = 2 - (2/n) sum_k Tr(rho_k^2) with rho_k the state of qubit k alone (Meyer and Wallach 2002 in
    the form of Brennen 2003; Sim et al. 2019, equation 12). It is 0 for product states, and 1 where
    every qubit is maximally entangled with the others.
    """
    vectors = reached.reshape(-1, reached.shape[-1])
    num_qubits = vectors.shape[1].bit_length() - 1
    purities = np.zeros(len(vectors))
    for qubit in range(num_qubits):
        split = vectors.reshape(len(vectors), -1, 2, 1 << qubit)
        zero, one = split[:, :, 0], split[:, :, 1]
        population = (np.abs(zero) ** 2).sum(axis=(1, 2))
        coherence = (zero.conj() * one).sum(axis=(1, 2))
        purities += population**2 + (1 - population) ** 2 + 2 * np.abs(coherence) ** 2
    return float((2 - 2 * purities / num_qubits).mean())
