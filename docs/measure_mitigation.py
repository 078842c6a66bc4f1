"""Measure what each mitigation of errors brings for its QPU seconds, on a fake QPU.

    python docs/measure_mitigation.py [--backend NAME] [--samples N] [--shots N] [--seed N]
        [--circuits NAME ...] [--only MITIGATION ...] [--keep FILE]

runs circuits with random inputs and weights, compares their outputs with exact ones, prints the
table of hardware.md and draws docs/images/mitigation.png. FILE keeps what is measured.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits import VariationalCircuit, build_ansatz
from qhybrid_runtime import QuantumLayer, get_backend, quantum_layer
from qhybrid_runtime.hardware.mitigation import MITIGATIONS

PICTURE = Path(__file__).parent / "images" / "mitigation.png"
COLUMNS = ("circuit", "mitigation", "QPU s", "error", "removed per QPU s, in thousandths")


def circuits() -> dict[str, VariationalCircuit]:
    """Return the circuits that are measured."""
    modules = build_model(ModelSpec("qlatent")).modules()
    layer = next(module for module in modules if isinstance(module, QuantumLayer))
    return {"HQConv": build_ansatz("hqconv"), "qlatent": layer.variational}


def measured(circuit: VariationalCircuit, name: str, asked: argparse.Namespace) -> list[float]:
    """Return the QPU seconds of a mitigation, and the error of a circuit's outputs under it."""
    rng = np.random.default_rng(asked.seed)
    inputs = torch.as_tensor(rng.uniform(-1, 1, (asked.samples, circuit.num_inputs))).float()
    weights = rng.uniform(0, 1, circuit.num_weights)
    exact = quantum_layer(circuit, get_backend("statevector"), initial_weights=weights)
    device = get_backend(asked.backend, shots=asked.shots, seed=asked.seed, mitigate=name)
    layer = quantum_layer(circuit, device, initial_weights=weights)
    with torch.no_grad():
        error = (layer(inputs) - exact(inputs)).square().mean().sqrt()
    return [device.ledger.spent_seconds, float(error)]


def front(figures: dict[str, list[float]]) -> list[list[float]]:
    """Return those of the points that no other has both less error and fewer seconds than."""
    kept: list[list[float]] = []
    for point in sorted(figures.values()):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


def draw(found: dict[str, dict[str, list[float]]], backend: str) -> None:
    """Draw the error against QPU seconds, and the front of those that none is better than."""
    figure, all_axes = plt.subplots(
        1, len(found), figsize=(4.5 * len(found), 3.4), layout="constrained", squeeze=False
    )
    for axes, (circuit, figures) in zip(all_axes[0], found.items(), strict=True):
        axes.plot(*zip(*front(figures), strict=True), color="0.7", zorder=0)
        for name, marker in zip(MITIGATIONS, "osD^vP", strict=True):
            if name in figures:
                axes.plot(*figures[name], marker, label=name, fillstyle="none", ms=8)
        most = [1.1 * max(column) for column in zip(*figures.values(), strict=True)]
        axes.set(title=f"{circuit} on {backend}", xlim=(0, most[0]), ylim=(0, most[1]))
        axes.set(xlabel="estimated QPU seconds", ylabel="root mean square error")
    all_axes[0][-1].legend(loc="lower right")
    figure.savefig(PICTURE, dpi=100)


def main(arguments: list[str] | None = None) -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description="Measure what mitigations bring.")
    parser.add_argument("--backend", default="fake_fez")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--shots", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--circuits", nargs="*", default=["HQConv", "qlatent"])
    parser.add_argument("--only", nargs="*", default=list(MITIGATIONS))
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args(arguments)
    kept = asked.keep is not None and asked.keep.exists()
    found = json.loads(asked.keep.read_text()) if kept else {}
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for kind, circuit in circuits().items():
        if kind not in asked.circuits:
            continue
        figures = found.setdefault(kind, {})
        for name in asked.only:
            if name not in figures:
                figures[name] = measured(circuit, name, asked)
                if asked.keep is not None:
                    asked.keep.write_text(json.dumps(found))
            seconds, error = figures[name]
            removed = (figures["none"][1] - error) / seconds
            print(f"| {kind} | {name} | {seconds:.1f} | {error:.4f} | {1e3 * removed:.1f} |")
    draw(found, asked.backend)


if __name__ == "__main__":
    main()
