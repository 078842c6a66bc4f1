"""Device noise as random Pauli errors, from calibration data to trajectories of the engine."""

from qhybrid_runtime.device_noise.channels import PauliChannel
from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.device_noise.error_sampler import ErrorSampler
from qhybrid_runtime.device_noise.logical_noise import LogicalNoise, find_logical_noise
from qhybrid_runtime.device_noise.noisy_circuit import NoisyCircuit, with_device_noise
from qhybrid_runtime.device_noise.readout import with_readout_error

__all__ = [
    "DeviceNoise",
    "ErrorSampler",
    "LogicalNoise",
    "NoisyCircuit",
    "PauliChannel",
    "find_logical_noise",
    "with_device_noise",
    "with_readout_error",
]
