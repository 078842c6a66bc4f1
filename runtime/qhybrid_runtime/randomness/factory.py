from typing import TYPE_CHECKING, Any

from numpy.random import SeedSequence

from qhybrid_circuits.plugins import load_reference
from qhybrid_runtime.backends.info import BackendInfo
from qhybrid_runtime.backends.names import noise_numbers
from qhybrid_runtime.backends.registry import check_bits, get_backend
from qhybrid_runtime.randomness.coins import BitSource, Read
from qhybrid_runtime.randomness.cost import check_state

if TYPE_CHECKING:
    import numpy as np

    from qhybrid_circuits.lowering.lowered import LoweredCircuit

#: Qubits of a noisy QPU that are simulated: more cost as much time a bit, and more a call.
_NOISY_QUBITS = 12


def bit_source(name: str, *, state: str = "", backend: Any = None) -> BitSource:
    """Return the source of random bits of a backend's name.

    Args:
        name: A backend's name, as `get_backend` takes it.
        state: The entangled state that is measured, one of `cost.STATES`; a coin on each qubit
            where omitted.
        backend: The `IbmBackend` whose jobs read the bits, and whose record keeps them; another
            one, which keeps nothing, where omitted.

    Raises:
        UnknownNameError: There is no backend, or no state, of this name.
        RequestError: The QPU is retired, or there is no account, or it has no such QPU; or the
            backend is no source of random bits.
        QHybridError: The service cannot be reached.
    """
    info = check_bits(name)
    if state:
        check_state(state)
    source: BitSource = load_reference(str(info.bits))(info, state, backend)
    return source


def engine_bits(info: BackendInfo, state: str, backend: Any) -> BitSource:
    """Return bits from measuring states of the exact engine."""
    from qhybrid_runtime.randomness.entangled import EntangledBits, state_circuit
    from qhybrid_runtime.randomness.simulators import EngineBits, engine_reading

    return EntangledBits(info.name, engine_reading(state_circuit(state))) if state else EngineBits()


def aer_bits(info: BackendInfo, state: str, backend: Any) -> BitSource:
    """Return bits from measuring states of Aer."""
    from qhybrid_runtime.randomness.entangled import EntangledBits, state_circuit
    from qhybrid_runtime.randomness.simulators import AerBits, aer_reading

    return EntangledBits(info.name, aer_reading(state_circuit(state))) if state else AerBits()


def simulated_bits(info: BackendInfo, state: str, backend: Any) -> BitSource:
    """Return the bits of a fake QPU, or of one that two numbers describe."""
    from qhybrid_circuits.lowering.lower import lower
    from qhybrid_circuits.lowering.targets import restricted_target
    from qhybrid_runtime.device_noise.region_simulator import RegionSimulator
    from qhybrid_runtime.hardware.local_client import compacted_circuit
    from qhybrid_runtime.hardware.targets import fake_target, uniform_target
    from qhybrid_runtime.randomness.cost import COIN_QUBITS, STATE_QUBITS
    from qhybrid_runtime.randomness.entangled import EntangledBits, state_circuit
    from qhybrid_runtime.randomness.qpu import (
        QpuBits,
        coins_on,
        readable_qubits,
        simulated_reading,
    )

    value = info.value
    numbers = noise_numbers(value) if "=" in value else None
    size = STATE_QUBITS + COIN_QUBITS if state else _NOISY_QUBITS
    whole = fake_target(value) if numbers is None else uniform_target(size, **numbers)
    lowered = lower(state_circuit(state), whole) if state else None
    chosen = lowered.qubits if lowered else readable_qubits(whole)[:_NOISY_QUBITS]
    target = restricted_target(whole, chosen)
    simulator, places = RegionSimulator(target), range(len(chosen))
    if lowered:
        read = simulated_reading(info.name, simulator, compacted_circuit(lowered))
        return EntangledBits(info.name, read)
    read = simulated_reading(info.name, simulator, coins_on(target, places))
    return QpuBits(info.name, places, read)


def ibm_bits(info: BackendInfo, state: str, backend: Any) -> BitSource:
    """Return the bits of a QPU of the account, read by jobs on record."""
    from qhybrid_circuits.lowering.lower import lower
    from qhybrid_runtime.randomness.entangled import EntangledBits, state_circuit
    from qhybrid_runtime.randomness.qpu import QpuBits, coins_on, readable_qubits

    device: Any = get_backend(info.name) if backend is None else backend
    name = device.qpu.name
    if state:
        lowered = lower(state_circuit(state), device.target)
        return EntangledBits(name, _by_jobs(device, lowered, state))
    qubits = readable_qubits(device.target)
    return QpuBits(name, qubits, _by_jobs(device, coins_on(device.target, qubits), "coins"))


def _by_jobs(device: Any, lowered: "LoweredCircuit", state: str) -> Read:
    def read(shots: int, seed: SeedSequence, purpose: str) -> "list[np.ndarray]":
        found: list[np.ndarray] = device.readings(lowered, shots, f"{state}: {purpose}")
        return found

    return read
