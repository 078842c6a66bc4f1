"""A U-Net with an ansatz of your own at its vertex, trained briefly on the bundled digits.

Run with `python examples/own_vertex.py`; it writes own_vertex.png. More steps draw better digits.
"""

import sys
from pathlib import Path

import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qhybrid import load_dataset
from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.models.attention import VertexAttention
from qhybrid.models.quantum_vertex import QuantumResNetBlock, QuantumVertexConv
from qhybrid.models.unet import UNet
from qhybrid.models.vertex import Vertex
from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime import get_backend


def ring(qubits: int = 8) -> VariationalCircuit:
    """Two channels of 2x2 pixels: RX encoding, then RY and a ring of CZ, twice."""
    x, w = ParameterVector("x", qubits), ParameterVector("w", 2 * qubits)
    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.rx(x[qubit], qubit)
    for layer in range(2):
        for qubit in range(qubits):
            circuit.ry(w[layer * qubits + qubit], qubit)
            circuit.cz(qubit, (qubit + 1) % qubits)
    z = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], qubits) for q in range(qubits)]
    return VariationalCircuit("ring", circuit, tuple(x), tuple(w), tuple(z))


def main(steps: int = 300, out: Path = Path("own_vertex.png")) -> None:
    backend, width = get_backend("statevector"), 40
    convolutions = [QuantumVertexConv([ring()] * 3, width, backend) for _ in range(4)]
    blocks = [QuantumResNetBlock(*convolutions[i : i + 2], width, width) for i in (0, 2)]
    model = UNet(
        Vertex(blocks[0], VertexAttention(width), blocks[1]), image_size=8, channels=1, dim=10
    )
    images, schedule = load_dataset("digits").tensor(), ScheduleSpec("cosine", 1000)
    scheduler, optimizer = noise_scheduler(schedule), torch.optim.Adam(model.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        batch = images[torch.randint(len(images), (32,), generator=generator)]
        loss = denoising_loss(model, batch, scheduler, P2Weighting(gamma=1), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
    save_grid(sample(model, shape=(16, 1, 8, 8), spec=schedule, steps=25).images, out)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
