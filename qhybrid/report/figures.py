"""The figures of one circuit: computed once, then read from the cache."""

import inspect
from dataclasses import replace
from typing import Any

import numpy as np

from qhybrid.report.circuits import SEED, CircuitUse
from qhybrid.report.devices import Device
from qhybrid.report.stored import remembered, source_fingerprint
from qhybrid_circuits.ansatz import ansatz_builder, build_ansatz
from qhybrid_circuits.disk_cache import content_key

#: Part of the keys: a change of what is kept must not meet old files.
_VERSION = 1

#: Pairs of qubits that are native to common devices; `topology` of the ansätze that have it.
_TOPOLOGIES = ("heavy-hex", "line")

#: What is said of a circuit with other pairs.
_COMPARED = ("two_qubit_gates", "two_qubit_depth", "success_probability")


def device_report(use: CircuitUse, device: Device | None, fractional: bool) -> dict[str, Any]:
    """Return a circuit's `ResourceReport` as a dictionary, and its variants with other pairs.

    Without a device the circuit is counted as it is written.

    Raises:
        CircuitError: The circuit does not fit the device.
    """
    report = resources(use, device, fractional)
    variants = [] if device is None else _topologies(use)
    compared = []
    for topology, variant in variants:
        figures = resources(variant, device, fractional, compare=False)
        compared.append({"topology": topology, **{key: figures[key] for key in _COMPARED}})
    return {**report, "topologies": compared}


def health_report(use: CircuitUse) -> dict[str, Any]:
    """Return a circuit's `CircuitHealth` as a dictionary, with its ansatz's trend."""
    options = None if use.options is None else sorted(use.options.items())
    key = content_key("health", _VERSION, use.content, options, source_fingerprint())

    def compute() -> dict[str, Any]:
        from qhybrid_runtime.health.circuit import circuit_health
        from qhybrid_runtime.health.trend import gradient_trend

        trend = None
        if use.options is not None:
            sizes = {k: v for k, v in use.options.items() if k not in ("channels", "qubits")}
            trend = gradient_trend(use.variational.name, **sizes)
        found = circuit_health(use.variational).to_dict()
        return {**found, "trend": None if trend is None else trend.to_dict()}

    return remembered(key, compute, dict)


def resources(
    use: CircuitUse, device: Device | None, fractional: bool = False, *, compare: bool = True
) -> dict[str, Any]:
    """Return a circuit's `ResourceReport` as a dictionary, without stock figures on request.

    Raises:
        CircuitError: The circuit does not fit the device.
    """
    where = None if device is None else device.fingerprint
    weights = use.weights.tobytes()
    key = content_key("report", _VERSION, use.content, weights, where, fractional, compare)

    def compute() -> dict[str, Any]:
        from qhybrid_circuits.report.resource import resource_report

        return resource_report(
            use.variational,
            None if device is None else device.load(),
            name=None if device is None else device.name,
            weights=use.weights,
            fractional=fractional,
            compare=compare,
        ).to_dict()

    return remembered(key, compute, dict)


def _topologies(use: CircuitUse) -> list[tuple[str, CircuitUse]]:
    """Return the ansatz with pairs that are native to common devices, where it has such."""
    if use.options is None or use.options.get("topology", "paper") != "paper":
        return []
    name = use.variational.name
    accepted = inspect.signature(ansatz_builder(name)).parameters
    if "topology" not in accepted or use.options.get("variant") == "released":
        return []
    variants = []
    for topology in _TOPOLOGIES:
        variational = build_ansatz(name, **{**use.options, "topology": topology})
        weights = use.weights
        if variational.num_weights != len(weights):
            weights = np.random.default_rng(SEED).random(variational.num_weights)
        variants.append((topology, replace(use, variational=variational, weights=weights)))
    return variants
