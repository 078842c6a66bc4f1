"""Noise as a run asks for it, with the file that keeps what was measured beforehand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from qhybrid.arrays import read_array
from qhybrid.diffusion.noise import GaussianNoise, NoiseSource, PooledNoise, QuantumNoise
from qhybrid.diffusion.specs import NoiseSpec
from qhybrid.files import reading, replacing
from qhybrid_runtime import Backend
from qhybrid_runtime.backends.registry import check_backend_name
from qhybrid_runtime.randomness.cost import LEAST_QUBITS
from qhybrid_runtime.randomness.factory import bit_source
from qhybrid_runtime.randomness.normal import BITS_A_NUMBER, normal_numbers

Announce = Callable[[str], None]


def open_noise(
    spec: NoiseSpec,
    pool_file: Path,
    *,
    seed: int = 0,
    backend: Backend | None = None,
    announce: Announce | None = None,
) -> NoiseSource:
    """Return the noise of a run; a pool that is not there yet is measured and kept.

    `seed` is of a pool from a simulator; `backend` is what the circuits run on, on whose record a
    QPU of an account measures; `announce` is told what is being measured.

    Raises:
        RequestError: The device cannot be had, or the pool that is kept is not what is asked for.
        QHybridError: The device cannot be reached.
    """
    if spec.source == "gaussian":
        return GaussianNoise()
    if spec.pool is None:
        return QuantumNoise(bit_source(spec.backend, state=spec.state))
    if not pool_file.exists():
        paid = check_backend_name(spec.backend).paid
        if announce is not None:
            seconds = spec.bill(LEAST_QUBITS).qpu_seconds
            price = f", about {seconds:.0f} QPU seconds" if paid else ""
            announce(f"measuring {spec.pool:,} numbers of noise on {spec.backend}{price}")
        device = backend if paid else None
        source = bit_source(spec.backend, state=spec.state, backend=device)
        bits = source.bits(BITS_A_NUMBER * spec.pool, seed)
        with replacing(pool_file) as temporary:
            np.savez(temporary, numbers=normal_numbers(bits).numpy())
    remedy = "restore it, or move it away to have another one measured"
    with reading(f"the pool of noise '{pool_file}' cannot be used", remedy):
        what = f"the pool of noise '{pool_file}'"
        numbers = read_array(pool_file, "numbers", what, "it should hold `numbers`", remedy)
        if numbers.shape != (spec.pool,) or numbers.dtype != np.float32:
            raise ValueError(f"it holds {numbers.size:,} numbers of {spec.pool:,}")
    return PooledNoise(torch.from_numpy(numbers))
