from typing import Any

from qhybrid_runtime.backends.registry import check_backend_name, noise_numbers
from qhybrid_runtime.randomness.coins import BitSource

#: Qubits of a noisy device that are simulated: more cost as much time a bit, and more a call.
_NOISY_QUBITS = 12


def bit_source(name: str, *, service: Any = None) -> BitSource:
    """Return the source of random bits that a backend is.

    Args:
        name: A backend's name, as `get_backend` takes it.
        service: The client's service for `ibm` names; the saved account's where omitted.

    Raises:
        UnknownNameError: There is no backend of this name.
        RequestError: The device is retired, or there is no account, or it has no such device.
        QHybridError: The service cannot be reached.
    """
    info = check_backend_name(name)
    if info.kind == "ibm":
        return _ibm_bits(name, service)
    if info.kind == "aer":
        from qhybrid_runtime.randomness.simulators import AerBits

        return AerBits()
    if info.kind == "statevector":
        from qhybrid_runtime.randomness.simulators import EngineBits

        return EngineBits()
    return _simulated_bits(name, info.argument)


def _simulated_bits(name: str, device: str) -> BitSource:
    """Return the bits of a fake device, or of one that is told by two numbers."""
    from qhybrid_circuits.lowering.targets import restricted_target
    from qhybrid_runtime.device_noise.region_simulator import RegionSimulator
    from qhybrid_runtime.hardware.targets import fake_target, uniform_target
    from qhybrid_runtime.randomness.device import DeviceBits, readable_qubits

    if "=" in device:
        whole = uniform_target(_NOISY_QUBITS, **noise_numbers(device))
    else:
        whole = fake_target(device)
    chosen = readable_qubits(whole)[:_NOISY_QUBITS]
    target = restricted_target(whole, chosen)
    return DeviceBits(name, RegionSimulator(target), target, range(len(chosen)), simulated=True)


def _ibm_bits(name: str, service: Any) -> BitSource:
    from qhybrid_runtime.backends.ibm import find_device
    from qhybrid_runtime.hardware.accounts import open_service
    from qhybrid_runtime.randomness.device import DeviceBits, readable_qubits

    backend = find_device(open_service() if service is None else service, name)
    target = backend.target
    return DeviceBits(str(backend.name), backend, target, readable_qubits(target), simulated=False)
