"""Lower circuits for a QPU inside Qiskit's own classes.

Run with `python examples/pass_manager.py`; it writes pass_manager.png. A stock EstimatorQNN is
trained on circuits that the pass manager has lowered, its weights being symbols; then they are
numbers, the circuit takes fewer gates, and a primitive runs it with the device's noise.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from qiskit.primitives import BackendEstimatorV2
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qhybrid_circuits import build_ansatz, pass_manager
from qhybrid_runtime import AdjointEstimatorGradient, get_backend

# The circuit's four qubits interact in a ring, which these couplings do not have.
COUPLINGS = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6)]


def main(steps: int = 60, out: Path = Path("pass_manager.png")) -> None:
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    pairs = [*COUPLINGS, *((b, a) for a, b in COUPLINGS)]
    device = GenericBackendV2(7, ["id", "sx", "x", "rz", "cz"], coupling_map=pairs, seed=4)
    ansatz = build_ansatz("hqconv", channels=1, layers=2)

    manager = pass_manager(device.target, observables=ansatz.observables)
    symbols = manager.run(ansatz.circuit)
    estimator = get_backend("statevector").estimator()
    network = EstimatorQNN(
        circuit=ansatz.circuit,
        observables=[each.apply_layout(symbols.layout) for each in ansatz.observables],
        input_params=ansatz.inputs,
        weight_params=ansatz.weights,
        estimator=estimator,
        gradient=AdjointEstimatorGradient(estimator, pass_manager=manager),
        pass_manager=manager,
    )
    teacher, start = rng.uniform(-2, 2, (2, ansatz.num_weights))
    layer = TorchConnector(network, start)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    for step in range(steps):
        inputs = 6 * torch.rand((16, 4), generator=generator) - 3
        taught = torch.as_tensor(network.forward(inputs.numpy(), teacher), dtype=torch.float32)
        loss = (layer(inputs) - taught).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step}: loss {loss.item():.3f}")

    # A primitive takes circuits in the device's gates, and observables on the device's qubits.
    weights = layer.weight.detach().numpy()
    numbers = manager.run(ansatz.bind_weights(weights))
    print(f"two-qubit gates: {symbols.num_nonlocal_gates()}, {numbers.num_nonlocal_gates()} bound")
    rows = rng.uniform(-3, 3, (16, 4))
    measured = [[each.apply_layout(numbers.layout)] for each in ansatz.observables]
    job = BackendEstimatorV2(backend=device).run([(numbers, measured, rows)], precision=0.03)
    noisy = job.result()[0].data.evs.T
    figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
    axes.plot([-1, 1], [-1, 1], color="0.7")
    axes.plot(network.forward(rows, weights), noisy, ".")
    axes.set(xlabel="exact <Z>", ylabel="<Z> on the device", title="one colour a qubit")
    figure.savefig(out)


if __name__ == "__main__":
    main()
