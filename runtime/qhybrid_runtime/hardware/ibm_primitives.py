"""Run PUBs by the client-side primitives of qiskit-ibm-runtime, and read their results."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.primitives import PrimitiveResult
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits import CircuitError
from qhybrid_runtime.hardware.billing import PEC_OVERHEAD, PrimitiveSettings
from qhybrid_runtime.hardware.round_plan import LoweredPub

#: Name of the register that samplers read.
_REGISTER = "read"

#: A function that submits PUBs, as `run_primitive` does.
Submit = Callable[..., Any]


def run_primitive(
    mode: Any,
    pubs: Sequence[LoweredPub],
    settings: PrimitiveSettings,
    *,
    tag: str = "",
    seed: int | None = None,
    seconds: int | None = None,
    dry_run: bool = False,
) -> Any:
    """Submit PUBs, as wide as the backend, as one job and return the client's job.

    `mode` is a backend, session or batch of the client. The job can be found by its `tag`; `seed`
    is that of a simulator, and a QPU stops the job after `seconds` of QPU time. A dry run goes to
    the QPU's mock device, which costs nothing and tells how long the QPU would take.

    Raises:
        CircuitError: The sampler is asked for an observable that is not diagonal.
    """
    # The client takes a second to load, and nothing but a submission needs it.
    from qiskit_ibm_runtime.executor_estimator import Estimator
    from qiskit_ibm_runtime.executor_sampler import Sampler

    options = _options(settings, tag, seed, seconds)
    if settings.primitive == "sampler":
        sampled = [(measured_circuit(pub), *_values(pub)) for pub in pubs]
        return Sampler(mode=mode, options=options).run(
            sampled, shots=settings.shots, dry_run=dry_run
        )
    estimated = []
    for pub in pubs:
        column = [[pub.lowered.apply_layout(observable)] for observable in pub.observables]
        estimated.append((pub.lowered.circuit, column, *_values(pub)))
    estimator = Estimator(mode=mode, options=options)
    if settings.pec:
        estimator.options.resilience.layer_noise_model = _noise_model(estimator, estimated)
    return estimator.run(estimated, precision=precision_for(settings), dry_run=dry_run)


def _noise_model(estimator: Any, pubs: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Return each layer of two-qubit gates with its noise by the QPU's calibration.

    The client could learn the noise instead, which takes QPU time, and no simulator does it.
    """
    from qhybrid_runtime.device_noise.device_noise import DeviceNoise
    from qhybrid_runtime.device_noise.layer_noise import layer_noise

    noise = DeviceNoise(estimator.backend().target)
    model = []
    for layer in estimator.find_unique_layers(pubs):
        # Layers have the qubits of the circuit that they were found in.
        circuit = next(pub[0] for pub in pubs if set(layer.qubits) <= set(pub[0].qubits))
        places = [circuit.find_bit(qubit).index for qubit in layer.qubits]
        model.append((layer, layer_noise(layer, places, noise)))
    return model


def precision_for(settings: PrimitiveSettings) -> float:
    """Return the precision that the client turns into exactly as many shots as asked for."""
    # The client rounds 1 / precision**2 up, so that 1,000 shots would become 1,001.
    return float((settings.shots * (1.0 - 1e-9)) ** -0.5)


def _options(
    settings: PrimitiveSettings, tag: str, seed: int | None, seconds: int | None
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "dynamical_decoupling": {"enable": settings.dynamical_decoupling},
        "environment": {"job_tags": [tag] if tag else []},
        "max_execution_time": seconds,
        # The default rounds angles to 1e-5 of a quarter turn, and simulates the noise that is
        # cancelled; our simulators have the QPU's.
        "simulator": {"seed_simulator": seed, "angle_decimals": 12, "layer_noise_model": []},
    }
    twirling = {} if settings.twirling is None else {"enable_gates": settings.twirling}
    if settings.primitive == "estimator":
        options["resilience_level"] = settings.resilience_level
        resilience: dict[str, Any] = {}
        if settings.pec:
            resilience |= {"pec_mitigation": True, "pec": {"max_overhead": PEC_OVERHEAD}}
        if settings.corrects_readout and settings.calibrated:
            # Readout is twirled as it was when its errors were learnt; see `readout`.
            resilience["measure_mitigation"], twirling["enable_measure"] = False, True
        options["resilience"] = resilience
    if twirling:
        options["twirling"] = twirling
    return options


def _values(pub: LoweredPub) -> list[np.ndarray]:
    return [pub.values] if pub.values.shape[1] else []


def measured_circuit(pub: LoweredPub) -> QuantumCircuit:
    """Return the circuit with one Z measurement of the qubits that observables act on."""
    circuit = pub.lowered.circuit.copy()
    support = _support(pub.observables)
    register = ClassicalRegister(len(support), _REGISTER)
    circuit.add_register(register)
    circuit.measure([pub.lowered.final_layout[qubit] for qubit in support], register)
    return circuit


def _support(observables: Sequence[SparsePauliOp]) -> list[int]:
    """Return the logical qubits that diagonal observables act on; qubit 0 if there is none."""
    acts = np.zeros(observables[0].num_qubits, dtype=bool)
    for observable in observables:
        if observable.paulis.x.any():
            raise CircuitError(
                f"Observable {observable.paulis.to_labels()[0]} is not diagonal, but the sampler "
                "measures in the Z basis only; use the option primitive='estimator'"
            )
        acts |= observable.paulis.z.any(axis=0)
    return np.flatnonzero(acts).tolist() or [0]


def primitive_values(
    result: PrimitiveResult[Any], pubs: Sequence[LoweredPub], settings: PrimitiveSettings
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return values and standard errors (n_observables, n_rows) of each PUB.

    Of a PUB whose readings are wanted, these are the values, uint8 (n_shots, n_qubits).
    """
    tables = []
    for data, pub in zip((entry.data for entry in result), pubs, strict=True):
        if settings.primitive == "sampler":
            read = _readings if pub.readings else _from_counts
            tables.append(read(data[_REGISTER], pub))
            continue
        shape = (len(pub.observables), len(pub.values))
        values, errors = np.asarray(data.evs, dtype=float), np.asarray(data.stds, dtype=float)
        tables.append((np.broadcast_to(values, shape), np.broadcast_to(errors, shape)))
    return tables


def _readings(counts: Any, pub: LoweredPub) -> tuple[np.ndarray, np.ndarray]:
    bits = np.asarray(counts.to_bool_array(order="little"), dtype=np.uint8)
    return bits.reshape(-1, counts.num_bits), np.zeros(1)


def _from_counts(counts: Any, pub: LoweredPub) -> tuple[np.ndarray, np.ndarray]:
    """Return expectation values of diagonal observables, and their standard errors."""
    support = _support(pub.observables)
    rows = len(pub.values)
    values, errors = np.empty((2, len(pub.observables), rows))
    bits = np.asarray(counts.to_bool_array(order="little"))
    # Without parameters the counts have no axis for the rows.
    signs = 1 - 2 * bits.reshape(rows, -1, len(support)).astype(np.int8)
    count = signs.shape[1]
    for number, observable in enumerate(pub.observables):
        shots = np.zeros(signs.shape[:2])
        for z, coefficient in zip(observable.paulis.z, observable.coeffs.real, strict=True):
            shots += coefficient * signs[..., z[support]].prod(axis=-1)
        values[number] = shots.mean(axis=1)
        errors[number] = shots.std(axis=1, ddof=min(1, count - 1)) / np.sqrt(count)
    return values, errors
