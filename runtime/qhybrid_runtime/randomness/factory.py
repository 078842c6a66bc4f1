from typing import Any

from qhybrid_circuits.plugins import load_reference
from qhybrid_runtime.backends.info import BackendInfo
from qhybrid_runtime.backends.names import noise_numbers
from qhybrid_runtime.backends.registry import check_bits
from qhybrid_runtime.randomness.coins import BitSource

#: Qubits of a noisy QPU that are simulated: more cost as much time a bit, and more a call.
_NOISY_QUBITS = 12


def bit_source(name: str, *, service: Any = None) -> BitSource:
    """Return the source of random bits of a backend's name.

    Args:
        name: A backend's name, as `get_backend` takes it.
        service: The client's service for `ibm` names; the saved account's where omitted.

    Raises:
        UnknownNameError: There is no backend of this name.
        RequestError: The QPU is retired, or there is no account, or it has no such QPU; or the
            backend is no source of random bits.
        QHybridError: The service cannot be reached.
    """
    info = check_bits(name)
    source: BitSource = load_reference(str(info.bits))(info, service)
    return source


def engine_bits(info: BackendInfo, service: Any) -> BitSource:
    """Return bits from measuring states of the exact engine."""
    from qhybrid_runtime.randomness.simulators import EngineBits

    return EngineBits()


def aer_bits(info: BackendInfo, service: Any) -> BitSource:
    """Return bits from measuring states of Aer."""
    from qhybrid_runtime.randomness.simulators import AerBits

    return AerBits()


def simulated_bits(info: BackendInfo, service: Any) -> BitSource:
    """Return the bits of a fake QPU, or of one that two numbers describe."""
    from qhybrid_circuits.lowering.targets import restricted_target
    from qhybrid_runtime.device_noise.region_simulator import RegionSimulator
    from qhybrid_runtime.hardware.targets import fake_target, uniform_target
    from qhybrid_runtime.randomness.qpu import QpuBits, readable_qubits

    value = info.value
    numbers = noise_numbers(value) if "=" in value else None
    whole = fake_target(value) if numbers is None else uniform_target(_NOISY_QUBITS, **numbers)
    chosen = readable_qubits(whole)[:_NOISY_QUBITS]
    target = restricted_target(whole, chosen)
    return QpuBits(info.name, RegionSimulator(target), target, range(len(chosen)), simulated=True)


def ibm_bits(info: BackendInfo, service: Any) -> BitSource:
    """Return the bits of a QPU of the account."""
    from qhybrid_runtime.hardware.accounts import find_qpu, open_service
    from qhybrid_runtime.randomness.qpu import QpuBits, readable_qubits

    backend = find_qpu(open_service() if service is None else service, info.name)
    target = backend.target
    return QpuBits(str(backend.name), backend, target, readable_qubits(target), simulated=False)


def first_bits(info: BackendInfo, service: Any) -> BitSource:
    """Return the bits of the first of several QPUs."""
    return bit_source(info.value.partition(",")[0], service=service)
