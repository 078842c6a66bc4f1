"""Measure how alike two digits are in each encoding, and train a classifier on that kernel.

Run with `python examples/encodings.py`; it writes encodings.png, with a square per encoding that
shows the kernel |<x|y>|^2. Rows and columns are sorted by digit: an encoding tells digits apart if
only the blocks on the diagonal are bright. Angle and phase encoding have the same kernel.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Statevector
from sklearn.decomposition import PCA
from sklearn.metrics import zero_one_loss
from sklearn.svm import SVC

from qhybrid import load_dataset
from qhybrid.diffusion.images import save_grid
from qhybrid_circuits.encoding import ENCODINGS, check_values, encode

DIGITS, FEATURES = (0, 1, 2, 3), 8


def encoded_states(name: str, features: np.ndarray) -> np.ndarray:
    """Return the states (N, 2**n_qubits) of features (N, n_features)."""
    if name == "basis":
        features = (features > 0).astype(float)
    elif name != "amplitude":
        features = np.pi / 2 * np.tanh(features)
    check_values(name, features, FEATURES)
    parameters = list(ParameterVector("x", FEATURES))
    circuit = encode(name, parameters)
    rows = [dict(zip(parameters, row, strict=True)) for row in features]
    return np.stack([Statevector(circuit.assign_parameters(row)).data for row in rows])


def main(steps: int = 40, out: Path = Path("encodings.png")) -> None:
    """Take `steps` digits of each kind, half of them to train on."""
    data = load_dataset("digits")
    images, labels = data.tensor().flatten(1).numpy(), np.asarray(data.labels)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:steps] for digit in DIGITS])
    features = PCA(FEATURES, whiten=True, random_state=0).fit(images).transform(images[chosen])
    classes, train = labels[chosen], np.arange(len(chosen)) % 2 == 0
    kernels = []
    for name, info in ENCODINGS.items():
        states = encoded_states(name, features)
        kernel = np.abs(states.conj() @ states.T) ** 2
        classifier = SVC(kernel="precomputed").fit(kernel[train][:, train], classes[train])
        loss = zero_one_loss(classes[~train], classifier.predict(kernel[~train][:, train]))
        print(f"{name}: {info.qubits(FEATURES)} qubits, share of errors (0-1 loss) {loss:.2f}")
        kernels.append(torch.from_numpy(2 * kernel / kernel.max() - 1)[None])
    save_grid(torch.stack(kernels), out, columns=len(kernels), upscale=2)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
