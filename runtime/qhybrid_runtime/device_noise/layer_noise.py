"""The noise of a layer of gates as a Pauli-Lindblad map, which is what cancelling it takes."""

from collections.abc import Sequence

import numpy as np
from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import PauliLindbladMap

from qhybrid_runtime.device_noise.channels import PauliChannel
from qhybrid_runtime.device_noise.device_noise import DeviceNoise

#: The product of these of a string's digits says whether it anticommutes with another.
_CHARACTERS = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])


def layer_noise(
    layer: CircuitInstruction, qubits: Sequence[int], noise: DeviceNoise
) -> PauliLindbladMap:
    """Return the calibrated noise that follows a layer's two-qubit gates.

    Crosstalk, and errors of one-qubit gates and of waiting, are not in it.

    Args:
        layer: A box of gates; see `Estimator.find_unique_layers` of qiskit-ibm-runtime.
        qubits: Physical qubit of each of its qubits.
        noise: The device noise.

    Raises:
        CircuitError: A gate is not one of the device's.
    """
    body = layer.operation.body
    position = {qubit: index for index, qubit in enumerate(sorted(qubits))}
    terms: list[tuple[str, list[int], float]] = []
    for item in body.data:
        if len(item.qubits) != 2:
            continue
        places = tuple(qubits[body.find_bit(qubit).index] for qubit in item.qubits)
        channel = noise.after(item.operation.name, places)
        if channel is not None:
            terms += lindblad_terms(channel, [position[place] for place in places])
    return PauliLindbladMap.from_sparse_list(terms, len(qubits))


def lindblad_terms(
    channel: PauliChannel, places: Sequence[int]
) -> list[tuple[str, list[int], float]]:
    """Return the Pauli strings of a channel's generators, their places, and their rates.

    The channel is exp(sum of rate (P rho P - rho)); rates are the Walsh-Hadamard transform of the
    logarithms of fidelities (van den Berg et al., arXiv:2201.09866). Negative ones, which twirled
    relaxation can have, are kept.
    """
    size = channel.num_qubits
    characters = np.ones((1, 1))
    for _ in range(size):
        characters = np.kron(_CHARACTERS, characters)
    rates = characters @ np.log(channel.fidelities) / 4**size
    terms = []
    for number, rate in enumerate(rates):
        digits = [number >> (2 * k) & 3 for k in range(size)]
        acting = [(digit, place) for digit, place in zip(digits, places, strict=True) if digit]
        if acting:
            label = "".join("IXYZ"[digit] for digit, _ in acting)
            terms.append((label, [place for _, place in acting], float(rate)))
    return terms
