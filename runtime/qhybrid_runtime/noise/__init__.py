"""Device noise as random Pauli errors: from calibration data to trajectories of the engine."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.noise.channels import PauliChannel
    from qhybrid_runtime.noise.device_noise import DeviceNoise
    from qhybrid_runtime.noise.error_sampler import ErrorSampler
    from qhybrid_runtime.noise.logical_noise import LogicalNoise, find_logical_noise
    from qhybrid_runtime.noise.noise_aware import NoiseAwareBackend, get_noise_aware_backend
    from qhybrid_runtime.noise.noisy_circuit import NoisyCircuit, with_device_noise
    from qhybrid_runtime.noise.readout import with_readout_error

__all__ = [
    "DeviceNoise",
    "ErrorSampler",
    "LogicalNoise",
    "NoiseAwareBackend",
    "NoisyCircuit",
    "PauliChannel",
    "find_logical_noise",
    "get_noise_aware_backend",
    "with_device_noise",
    "with_readout_error",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "DeviceNoise": ".device_noise",
        "ErrorSampler": ".error_sampler",
        "LogicalNoise": ".logical_noise",
        "NoiseAwareBackend": ".noise_aware",
        "NoisyCircuit": ".noisy_circuit",
        "PauliChannel": ".channels",
        "get_noise_aware_backend": ".noise_aware",
        "find_logical_noise": ".logical_noise",
        "with_device_noise": ".noisy_circuit",
        "with_readout_error": ".readout",
    },
)
