"""Jobs as the client sends them: read, checked, run, and answered in the client's own formats."""

import hashlib
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from qhybrid_circuits import RequestError
from qhybrid_runtime.hardware.billing import job_seconds

if TYPE_CHECKING:
    from qiskit.transpiler import Target

#: The version of the format that the client of qiskit-ibm-runtime 0.51 writes.
_VERSION = "v2.0"


def read_program(params: dict[str, Any]) -> Any:
    """Return the client's quantum program of a job's parameters.

    Raises:
        RequestError: They are not the client's.
    """
    from qiskit_ibm_runtime.quantum_program.params_converters import (
        QUANTUM_PROGRAM_PARAMS_CONVERTERS,
    )

    if params.get("schema_version") != _VERSION:
        raise RequestError(
            f"this service runs jobs of the client's executor {_VERSION}, but the job is of "
            f"version {params.get('schema_version')!r}"
        )
    converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS[_VERSION]
    try:
        program, _ = converter.decoder(converter.model.model_validate(params))
    except Exception as error:
        # Whatever the client's decoder raises, it is about what was sent.
        raise RequestError(f"the job cannot be decoded: {error}") from error
    for item in program.items:
        if hasattr(item, "samplex"):
            item.samplex.finalize()
    return program


def program_seconds(program: Any) -> float:
    """Return the QPU seconds of a program, by IBM's rule of thumb."""
    return job_seconds(program.shots * sum(math.prod(item.shape) for item in program.items))


def misfit(program: Any, target: "Target") -> str | None:
    """Return the first instruction that a target does not have, as text, or None."""
    for item in program.items:
        circuit = item.circuit
        for each in circuit.data:
            name, qubits = (
                each.operation.name,
                tuple(circuit.find_bit(q).index for q in each.qubits),
            )
            if name != "barrier" and not target.instruction_supported(name, qubits):
                return f"the instruction {name} on qubits {qubits}"
    return None


def run_program(program: Any, target: "Target", *, mock: bool) -> str:
    """Return the JSON text of a program's result, the same one for the same program."""
    from ibm_quantum_schemas.common import CompressedTensorModel
    from ibm_quantum_schemas.executor.version_2_0 import QuantumProgramResultModel
    from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
    from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
    from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import (
        passthrough_data_to_2_0,
    )

    # Simulators load torch, which only the first job has to wait for.
    from qhybrid_runtime.loopback.device_simulator import CoinSimulator, DeviceSimulator

    simulator = (CoinSimulator if mock else DeviceSimulator)(target)
    # The default rounds angles to 1e-5 of a quarter turn.
    options = SimulatorOptions(seed_simulator=_seed(program), angle_decimals=12)
    began = datetime.now(UTC)
    results = run_quantum_program(simulator, program, options)
    timing = {"start": began, "stop": datetime.now(UTC), "parts": []}
    result = QuantumProgramResultModel(
        schema_version=_VERSION,
        data=[
            {
                "results": {
                    name: CompressedTensorModel.from_numpy(np.asarray(values))
                    for name, values in item.items()
                },
                "metadata": {},
            }
            for item in results
        ],
        metadata={"chunk_timing": [timing]},
        passthrough_data=passthrough_data_to_2_0(program.passthrough_data),
        semantic_role=program._semantic_role,
    )
    return str(result.model_dump_json())


def _seed(program: Any) -> int:
    """Return a seed that follows from what a program computes, not from its names and ids."""
    digest = hashlib.sha256(json.dumps(program.shots).encode())
    for item in program.items:
        digest.update(repr((item.shape, list(item.circuit.count_ops().items()))).encode())
        for values in _arguments(item):
            digest.update(np.ascontiguousarray(values).tobytes())
    return int.from_bytes(digest.digest()[:4], "little") >> 1


def _arguments(item: Any) -> Iterator[np.ndarray]:
    if hasattr(item, "samplex"):
        given = item.samplex_arguments
        names = sorted(spec.name for spec in given.specs if spec.name in given)
        yield from (given[name] for name in names if isinstance(given[name], np.ndarray))
    elif item.circuit_arguments is not None:
        yield item.circuit_arguments
