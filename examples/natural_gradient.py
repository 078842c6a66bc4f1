"""Compare the quantum natural gradient with Adam on the ground state of a ring of coupled spins.

Run with `python examples/natural_gradient.py`; it writes natural_gradient.png. The curves show the
energy above that of the ground state, divided by its value at the start: the median of five starts,
and the band from least to largest. Adam needs more steps, but each of its steps is faster.
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
from qhybrid_runtime.natural_gradient.optimizer import QuantumNaturalGradient

SPINS, STARTS = 8, 5


def losses(variational: VariationalCircuit, name: str, steps: int, seed: int) -> list[float]:
    start = 0.5 * torch.rand(SPINS, generator=torch.Generator().manual_seed(seed))
    layer = quantum_layer(variational, get_backend("statevector"), initial_weights=start)
    qng, adam = QuantumNaturalGradient(layer, 0.3), torch.optim.Adam(layer.parameters(), 0.1)
    optimizer = qng if name == "QNG" else adam
    ground = np.linalg.eigvalsh(variational.observables[0].to_matrix())[0]
    curve = []
    for _ in range(steps):
        loss = 1 - layer().sum() / ground
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


def main(steps: int = 300, out: Path = Path("natural_gradient.png")) -> None:
    weights, circuit, spins = ParameterVector("w", SPINS), QuantumCircuit(SPINS), range(SPINS)
    terms = [("ZZ", [i, (i + 1) % SPINS], -1) for i in spins] + [("X", [i], -1) for i in spins]
    circuit.h(spins)
    for couple, turn in zip(weights[::2], weights[1::2], strict=True):
        circuit.rzz(couple, spins, [(i + 1) % SPINS for i in spins])
        circuit.rx(turn, spins)
    energies, medians, bands = (SparsePauliOp.from_sparse_list(terms, SPINS),), {}, {}
    variational = VariationalCircuit("ring", circuit, (), tuple(weights), energies)
    for name in ("Adam", "QNG"):
        runs = np.array([losses(variational, name, steps, seed) for seed in range(STARTS)])
        reached = [int((run > 1e-3).sum()) if run[-1] <= 1e-3 else "not" for run in runs]
        print(f"{name}: median loss {np.median(runs[:, -1]):.1e}; steps to 0.001: {reached}")
        runs /= runs[:, :1]
        medians[name], bands[name] = np.median(runs, axis=0), (runs.min(axis=0), runs.max(axis=0))
    save_fidelity_figure(medians, out, bands=bands)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
