"""Read qubits shot by shot, by jobs on record: what is paid for is read once."""

import base64
from collections.abc import Sequence

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.hardware.billing import MOST_EXECUTIONS, PrimitiveSettings, job_seconds
from qhybrid_runtime.hardware.fingerprint import fingerprint
from qhybrid_runtime.hardware.job_client import Tables
from qhybrid_runtime.hardware.jobs import HardwareExecutor, new_tag
from qhybrid_runtime.hardware.records import JobRecord, RoundRecord, damaged
from qhybrid_runtime.hardware.round_plan import LoweredPub, PubPart

#: Executions of a PUB: IBM's QPUs allow no more.
PUB_EXECUTIONS = 100_000


def divided(shots: int) -> tuple[int, list[int]]:
    """Return the executions of a PUB, which all of a job share, and the PUBs of each job."""
    pubs = max(1, -(-shots // PUB_EXECUTIONS))
    a_job = MOST_EXECUTIONS // PUB_EXECUTIONS
    return -(-shots // pubs), [min(a_job, pubs - first) for first in range(0, pubs, a_job)]


def read_on_record(
    executor: HardwareExecutor,
    lowered: LoweredCircuit,
    shots: int,
    purpose: Sequence[str],
    *,
    qpu: str | None = None,
) -> list[np.ndarray]:
    """Return at least `shots` readings of a lowered circuit's logical qubits, from the record.

    `purpose` names the readings: those that are on record under it are returned whatever the
    circuit was lowered to then, so that a new calibration does not make them be paid twice.
    `qpu` names the QPU in the record of several.

    Returns:
        For each job, uint8 (n_shots, n_qubits).

    Raises:
        QpuLimitError: The next job would exceed the limit of QPU time; nothing is lost.
        DeviceJobError: A job failed again and again; what is done is on record.
        RequestError: The record is damaged.
    """
    record = executor.ledger.round(fingerprint("readings", *purpose))
    size, counts = divided(shots)
    if not record.jobs:
        record.jobs = [
            JobRecord([PubPart(0, 0, count, 1)], new_tag(), job_seconds(count * size), qpu=qpu)
            for count in counts
        ]
    executor.finish(_Readings(record, lowered, PrimitiveSettings(size, "sampler")))
    try:
        found = [_unpacked(job) for job in record.jobs]
    except (ValueError, IndexError, TypeError) as error:
        raise damaged(record.path, error) from error
    executor.ledger.close(record)
    return found


class _Readings:
    """Jobs that read all qubits of one circuit."""

    def __init__(
        self, record: RoundRecord, lowered: LoweredCircuit, settings: PrimitiveSettings
    ) -> None:
        self.record, self._settings = record, settings
        every = SparsePauliOp("Z" * lowered.num_logical_qubits)
        self._pub = LoweredPub(lowered, (every,), np.empty((1, 0)), readings=True)

    def settings_of(self, job: JobRecord) -> PrimitiveSettings:
        return self._settings

    def corrected(self, job: JobRecord, tables: Sequence[Tables]) -> list[Tables]:
        return list(tables)

    def pubs(self, job: JobRecord) -> list[LoweredPub]:
        return [self._pub] * sum(part.rows for part in job.parts)

    def fill(self, job: JobRecord, tables: Sequence[Tables]) -> None:
        reads = [bits for bits, _ in tables]
        ones = np.array([bits.mean(axis=0) for bits in reads])
        job.readings = [
            base64.b64encode(np.packbits(bits, axis=1).tobytes()).decode() for bits in reads
        ]
        errors = np.sqrt(ones * (1 - ones) / len(reads[0]))
        job.values, job.standard_errors = [ones.tolist()], [errors.tolist()]


def _unpacked(job: JobRecord) -> np.ndarray:
    """Return the readings (n_shots, n_qubits) of a job that is done."""
    qubits = np.array(job.values).shape[2]
    octets = [
        np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        for text in job.readings or ()
    ]
    packed = np.concatenate(octets).reshape(-1, -(-qubits // 8))
    return np.unpackbits(packed, axis=1)[:, :qubits]
