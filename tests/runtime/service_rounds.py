"""Rounds of one circuit on a double of the service."""

from pathlib import Path

import numpy as np
from device_circuits import pub_of, ring
from service_double import ServiceDouble

from qhybrid_runtime.backends.ibm import IbmBackend

CIRCUIT = ring(2)
WEIGHTS = np.array([0.3, 0.8])


def backend_of(service: ServiceDouble, folder: Path | None = None, **options) -> IbmBackend:
    options = {"shots": 128, "ledger": folder, **options}
    return IbmBackend(
        "ibm_double", service=service, client_options=service.client_options, **options
    )


def run_round(backend: IbmBackend, inputs: np.ndarray) -> np.ndarray:
    return backend.estimator().run([pub_of(CIRCUIT, inputs, WEIGHTS)]).result()[0].data.evs


def run_all(backend: IbmBackend, rounds: list[np.ndarray]) -> list[np.ndarray]:
    return [run_round(backend, inputs) for inputs in rounds]
