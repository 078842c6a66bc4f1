"""What the code of the PyTorch report does other than the papers, for `variant="released"`."""

import math

import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from torch import Tensor

from qhybrid.models.patch_circuit import PatchCircuit
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz import build_ansatz

_CHANNELS, _PIXELS = 3, 4


def released_circuit(ansatz: str, layers: int) -> VariationalCircuit:
    """The report's HQConv or FQConv, where a weight is an angle in radians."""
    if ansatz == "fqconv":
        return _alternating_fqconv(layers)
    paper = build_ansatz(ansatz, channels=_CHANNELS, layers=layers)
    weights = tuple(ParameterVector("w", paper.num_weights))
    in_turns = {old: new / (2 * math.pi) for old, new in zip(paper.weights, weights, strict=True)}
    circuit = paper.circuit.assign_parameters(in_turns)
    return VariationalCircuit("hqconv-radians", circuit, paper.inputs, weights, paper.observables)


def _alternating_fqconv(layers: int) -> VariationalCircuit:
    """FQConv's pairs, but CRZ and CRX take turns within block C, and CRX and CRZ in block D."""
    paper = build_ansatz("fqconv", channels=_CHANNELS, layers=layers)
    qubits, weights = _CHANNELS * _PIXELS, ParameterVector("w", paper.num_weights)
    circuit = QuantumCircuit(qubits)
    for qubit, angle in enumerate(paper.inputs):
        circuit.rx(angle, qubit)
    remaining = iter(weights)
    for channel in [*reversed(range(_CHANNELS))] * layers:
        for block in range(2):
            for pixel in reversed(range(_PIXELS)):
                target = _PIXELS * channel + pixel
                gate = (circuit.crz, circuit.crx)[(_PIXELS - 1 - pixel + block) % 2]
                gate(next(remaining), (target + _PIXELS) % qubits, target)
    return VariationalCircuit(
        "fqconv-alternating", circuit, paper.inputs, tuple(weights), paper.observables
    )


class MixingPatchCircuit(PatchCircuit):
    """Outputs stacked group after group, then read as if image after image.

    With more than one image the code of the report gives an image the outputs of others.
    """

    def reset_weights(self, generator: torch.Generator | None) -> None:
        """Draw the weights as the report does: normal, with a standard deviation of pi."""
        with torch.no_grad():
            self.weight.normal_(0.0, math.pi, generator=generator)

    def gathered(self, values: Tensor) -> Tensor:
        """Mix up the outputs (batch, group, row, column, num_outputs) of the batch's images."""
        return values.transpose(0, 1).reshape(values.shape)
