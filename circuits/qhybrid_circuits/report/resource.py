from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qhybrid_circuits.disk_cache import (
    LoweringCache,
    circuit_content,
    content_key,
    target_content,
    use_cache,
)
from qhybrid_circuits.encoding.state_tree import with_preparation_gates
from qhybrid_circuits.lowering.lower import lower
from qhybrid_circuits.lowering.plan import Preference
from qhybrid_circuits.lowering.targets import target_of, with_fractional_gates
from qhybrid_circuits.plain import measured_qubits, plain_request
from qhybrid_circuits.report.figures import CircuitFigures, device_figures, logical_figures
from qhybrid_circuits.report.stock import STOCK_SEEDS, stock_figures
from qhybrid_circuits.variational import VariationalCircuit

#: Part of the keys of cached figures: a change of how they are had must not meet old ones.
_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ResourceReport(CircuitFigures):
    """What a circuit costs on a QPU; the figures of `CircuitFigures` are those of our lowering.

    Attributes:
        circuit: The circuit's name.
        target: The QPU's name; None where no QPU was chosen. All figures are then those of
            the circuit as it is written, on qubits that are all connected.
        fractional: Whether rzz and rx of any angle were used.
        logical_qubits: Qubits of the circuit itself.
        device_qubits: Qubits that the QPU has; None without a QPU.
        layout: Logical qubit i ends on physical qubit `layout[i]`; None without a QPU.
        used_qubits: The physical qubits that `physical_qubits` counts, ascending; None without a
            QPU.
        stock: The same figures by Qiskit's pass manager at optimization level 3, best of five
            seeds, the weights left symbolic as stock classes leave them; None without a QPU,
            where the comparison was not asked for, and where the pass manager fails.
        stock_bound: The same with the weights bound first; None also where no weights were given.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qhybrid_circuits import ResourceReport, resource_report
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.h(0), circuit.cx(0, 1)
        >>> report = resource_report(circuit, None)
        >>> ResourceReport.from_dict(report.to_dict()) == report
        True
    """

    circuit: str
    target: str | None = None
    fractional: bool = False
    logical_qubits: int
    device_qubits: int | None = None
    layout: tuple[int, ...] | None = None
    used_qubits: tuple[int, ...] | None = None
    stock: CircuitFigures | None = None
    stock_bound: CircuitFigures | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON has, identity first."""
        last = [*(field.name for field in fields(CircuitFigures)), "stock", "stock_bound"]
        order = [*(name for name in vars(self) if name not in last), *last]
        return {name: _plain(getattr(self, name)) for name in order}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ResourceReport":
        """Return what `to_dict` was called on."""
        parsed = dict(values)
        for name in ("layout", "used_qubits"):
            parsed[name] = None if parsed[name] is None else tuple(parsed[name])
        for name in ("stock", "stock_bound"):
            if parsed[name] is not None:
                parsed[name] = CircuitFigures.from_dict(parsed[name])
        return cls(**parsed)


def resource_report(
    circuit: VariationalCircuit | QuantumCircuit,
    target: Target | BackendV2 | None,
    *,
    name: str | None = None,
    weights: Sequence[float] | np.ndarray | None = None,
    observables: Sequence[SparsePauliOp] | None = None,
    fractional: bool = False,
    prefer: Preference = "success",
    compare: bool = True,
    seeds: Iterable[int] = range(4),
    cache: LoweringCache | Path | str | bool = True,
) -> ResourceReport:
    """Return what a circuit costs on a QPU, by our lowering and by Qiskit's stock passes.

    Any Qiskit circuit will do: `resource_report(my_circuit, backend)`.

    Args:
        circuit: Anything that `lower` takes; what is read out is said by `observables`.
        target: The QPU, or a Qiskit backend of it; None counts the circuit as it is written.
        name: The QPU's name in the report; the backend's name or the target's description if
            omitted.
        weights: Values of a variational circuit's weights, shape (n_weights,). With them two gates
            of one pair can become one; symbolic if None.
        observables: What is measured, on the logical qubits; a variational circuit's own, or every
            qubit's, if None.
        fractional: Use rzz and rx of any angle, as `lower` does. The stock figures are those of the
            target as it is.
        prefer: That of `lower`.
        compare: Have Qiskit's stock passes lower the circuit too.
        seeds: Those of `lower`.
        cache: That of `lower`; holds the stock figures too.

    Raises:
        RequestError: `target` is neither a Target nor a backend.
        CircuitError: The circuit does not fit the target, or `lower` refuses it.
        ShapeError: There are more or fewer values than weights.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qhybrid_circuits import resource_report
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.h(0), circuit.cx(0, 1)
        >>> report = resource_report(circuit, None)
        >>> report.two_qubit_gates, report.depth
        (1, 2)
    """
    if isinstance(circuit, QuantumCircuit):
        circuit, observables = plain_request(circuit, observables)
    forms = _forms(circuit, weights, observables)
    identity: dict[str, Any] = {
        "circuit": str(circuit.name),
        "logical_qubits": int(forms.written.num_qubits),
    }
    if target is None:
        return ResourceReport(**identity, **vars(logical_figures(forms.written)))
    if isinstance(target, BackendV2):
        name = name or target.name
    target = target_of(target)
    lowered = lower(
        circuit,
        target,
        weights=weights,
        observables=observables,
        fractional=fractional,
        prefer=prefer,
        seeds=seeds,
        cache=cache,
    )
    places = [lowered.final_layout[qubit] for qubit in forms.measured]
    own_target = with_fractional_gates(target) if fractional else target
    return ResourceReport(
        target=name or target.description or f"{target.num_qubits} qubits",
        fractional=fractional,
        device_qubits=int(target.num_qubits),
        layout=lowered.final_layout,
        used_qubits=lowered.qubits,
        **(_comparison(use_cache(cache), forms, target) if compare else {}),
        **identity,
        **vars(device_figures(lowered.circuit, own_target, places, lowered.swaps)),
    )


class _Forms(NamedTuple):
    """A circuit as it was written, with its weights bound (None without any), and what is read.

    Amplitude encodings of symbolic features are gates that can prepare any amplitudes.
    """

    written: QuantumCircuit
    bound: QuantumCircuit | None
    measured: tuple[int, ...]


def _forms(
    circuit: VariationalCircuit | QuantumCircuit,
    weights: Sequence[float] | np.ndarray | None,
    observables: Sequence[SparsePauliOp] | None,
) -> _Forms:
    if isinstance(circuit, VariationalCircuit):
        bound = None if weights is None else _in_gates(circuit.bind_weights(weights))
        observables = circuit.observables if observables is None else observables
        measured = measured_qubits(observables, circuit.num_qubits)
        return _Forms(_in_gates(circuit.circuit), bound, measured)
    return _Forms(_in_gates(circuit), None, measured_qubits(observables, circuit.num_qubits))


def _in_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    return with_preparation_gates(circuit).circuit


def _comparison(store: LoweringCache, forms: _Forms, target: Target) -> dict[str, Any]:
    device, measured = target_content(target), forms.measured

    def stock(circuit: QuantumCircuit) -> CircuitFigures | None:
        content = circuit_content(circuit)
        key = content_key("stock", _VERSION, content, device, measured, STOCK_SEEDS)
        make = partial(stock_figures, circuit, target, measured)
        return store.recall_json(key, make, CircuitFigures.from_dict, CircuitFigures.to_dict)

    found = {"stock": stock(forms.written)}
    if forms.bound is not None:
        found["stock_bound"] = stock(forms.bound)
    return found


def _plain(value: object) -> object:
    if isinstance(value, CircuitFigures):
        return value.to_dict()
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value
