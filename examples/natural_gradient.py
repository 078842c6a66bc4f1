"""The quantum natural gradient against Adam: the ground state of a ring of coupled spins.

Run with `python examples/natural_gradient.py`; it writes natural_gradient.png, the energy above the
ground state's as a part of it: median of five starts, least to largest. The circuit alternates the
two parts of the Hamiltonian, one weight each, and can reach the ground state exactly.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid.states.figure import save_fidelity_figure
from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime import get_backend, quantum_layer
from qhybrid_runtime.natural_gradient import QuantumNaturalGradient

SPINS, STARTS = 8, 5


def losses(variational: VariationalCircuit, name: str, steps: int, seed: int) -> list[float]:
    start = 0.5 * torch.rand(SPINS, generator=torch.Generator().manual_seed(seed))
    layer = quantum_layer(variational, get_backend("statevector"), initial_weights=start)
    natural = QuantumNaturalGradient(layer, 1.0)
    optimizer = natural if name == "QNG" else torch.optim.Adam(layer.parameters(), 0.1)
    ground = np.linalg.eigvalsh(variational.observables[0].to_matrix())[0]
    curve = []
    for _ in range(steps):
        loss = 1 - layer().sum() / ground
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


def main(steps: int = 200, out: Path = Path("natural_gradient.png")) -> None:
    pairs = [("ZZ", [spin, (spin + 1) % SPINS], -1.0) for spin in range(SPINS)]
    energy = SparsePauliOp.from_sparse_list(pairs + [("X", [s], -1) for s in range(SPINS)], SPINS)
    weights, circuit = ParameterVector("w", SPINS), QuantumCircuit(SPINS)
    circuit.h(range(SPINS))
    for couple, turn in zip(weights[::2], weights[1::2], strict=True):
        for spin in range(SPINS):
            circuit.rzz(couple, spin, (spin + 1) % SPINS)
        circuit.rx(turn, range(SPINS))
    variational = VariationalCircuit("ring", circuit, (), tuple(weights), (energy,))
    medians, bands = {}, {}
    for name in ("Adam", "QNG"):
        runs = np.array([losses(variational, name, steps, seed) for seed in range(STARTS)])
        medians[name], bands[name] = np.median(runs, axis=0), (runs.min(axis=0), runs.max(axis=0))
        reached = [int((run > 1e-3).sum()) if run[-1] <= 1e-3 else "not" for run in runs]
        print(f"{name}: median loss {medians[name][-1]:.1e}; steps to 0.001: {reached}")
    save_fidelity_figure(medians, out, bands=bands)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
