"""Tools that are not Qiskit's, and qhybrid itself."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from qiskit import qasm2

from qhybrid.verification.case import Case
from qhybrid.verification.gates import PENNYLANE_NAMES, PlainGate, UntranslatedError, plain_gates
from qhybrid.verification.tool import Tool
from qhybrid_runtime import get_backend, quantum_layer


def _node(case: Case, device: str, **options: Any) -> Callable[[Sequence[Any]], list[Any]]:
    """Return the circuit as a QNode of its inputs and weights, side by side."""
    import pennylane as qml

    gates = plain_gates(case.variational)
    observables = [
        qml.sum(
            *(
                float(coefficient.real) * qml.pauli.string_to_pauli_word(label[::-1])
                for label, coefficient in observable.to_list()
            )
        )
        for observable in case.variational.observables
    ]

    def node(parameters: Sequence[Any]) -> Any:
        for gate in gates:
            _apply(qml, gate, parameters)
        return [qml.expval(observable) for observable in observables]

    made: Callable[[Sequence[Any]], list[Any]] = qml.QNode(
        node, qml.device(device, wires=case.variational.num_qubits), **options
    )
    return made


def _apply(qml: Any, gate: PlainGate, parameters: Sequence[Any]) -> None:
    angles: list[Any] = [
        a.offset if a.parameter is None else a.offset + a.slope * parameters[a.parameter]
        for a in gate.angles
    ]
    wires = list(gate.qubits)
    if gate.name == "amplitude_encoding":
        # PennyLane's first wire is the most significant one.
        qml.AmplitudeEmbedding(torch.stack(angles), wires=wires[::-1], normalize=True)
        return
    if gate.name not in PENNYLANE_NAMES:
        raise UntranslatedError(f"no gate of PennyLane is known here for {gate.name}")
    getattr(qml, PENNYLANE_NAMES[gate.name])(*angles, wires=wires)


def _pennylane_values(device: str) -> Callable[[Case], np.ndarray]:
    def answer(case: Case) -> np.ndarray:
        node = _node(case, device, interface="torch")
        return torch.stack(node(torch.as_tensor(case.point).unbind())).numpy()

    return answer


def _pennylane_gradients(device: str, method: str) -> Callable[[Case], np.ndarray]:
    def answer(case: Case) -> np.ndarray:
        node = _node(case, device, interface="torch", diff_method=method)
        point = torch.as_tensor(case.point)
        jacobian: Any = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
            lambda parameters: torch.stack(node(parameters.unbind())), point
        )
        return np.asarray(jacobian)

    return answer


def _state_values(state: np.ndarray, case: Case) -> np.ndarray:
    """Return the values of a state (2^n,) in Qiskit's order of qubits."""
    matrices = (o.to_matrix(sparse=True) for o in case.variational.observables)
    return np.array([(state.conj() @ (matrix @ state)).real for matrix in matrices])


def _cirq(case: Case) -> np.ndarray:
    import cirq
    from cirq.contrib.qasm_import import circuit_from_qasm

    circuit = circuit_from_qasm(qasm2.dumps(case.bound))
    order = [cirq.NamedQubit(f"q_{i}") for i in reversed(range(case.variational.num_qubits))]
    simulator = cirq.Simulator(dtype=np.complex128)
    return _state_values(simulator.simulate(circuit, qubit_order=order).final_state_vector, case)


def _tensorcircuit(case: Case) -> np.ndarray:
    import tensorcircuit

    tensorcircuit.set_dtype("complex128")
    state = np.asarray(tensorcircuit.Circuit.from_qiskit(case.bound).state())
    qubits = case.variational.num_qubits
    return _state_values(state.reshape((2,) * qubits).transpose().ravel(), case)


def _layer(case: Case, backend: str) -> Any:
    layer = quantum_layer(case.variational, get_backend(backend)).double()
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(case.weights))
    return layer


def _qhybrid_values(backend: str) -> Callable[[Case], np.ndarray]:
    def answer(case: Case) -> np.ndarray:
        values = _layer(case, backend)(torch.as_tensor(case.inputs)[None])
        return np.asarray(values[0].detach().numpy())

    return answer


def _qhybrid_gradients(backend: str) -> Callable[[Case], np.ndarray]:
    def answer(case: Case) -> np.ndarray:
        layer = _layer(case, backend)
        inputs = torch.as_tensor(case.inputs)[None].requires_grad_()
        rows = [
            torch.autograd.grad(value, (inputs, layer.weight), retain_graph=True)
            for value in layer(inputs)[0]
        ]
        return torch.stack([torch.cat([x.ravel(), w]) for x, w in rows]).numpy()

    return answer


_LIGHTNING = ("pennylane",)

TOOLS = (
    Tool("default.qubit", "pennylane", "values", _pennylane_values("default.qubit")),
    Tool(
        *("lightning.qubit", "pennylane-lightning", "values"),
        _pennylane_values("lightning.qubit"),
        needs=_LIGHTNING,
    ),
    Tool("circuit_from_qasm", "cirq-core", "values", _cirq, needs=("ply",)),
    Tool("Circuit.from_qiskit", "tensorcircuit-ng", "values", _tensorcircuit),
    *(
        Tool(
            *(f"default.qubit, {method}", "pennylane", "gradients"),
            _pennylane_gradients("default.qubit", method),
            shifts=method == "parameter-shift",
        )
        for method in ("backprop", "adjoint", "parameter-shift")
    ),
    Tool(
        *("lightning.qubit, adjoint", "pennylane-lightning", "gradients"),
        _pennylane_gradients("lightning.qubit", "adjoint"),
        needs=_LIGHTNING,
    ),
    Tool("statevector", "qhybrid", "values", _qhybrid_values("statevector")),
    Tool("aer", "qhybrid", "values", _qhybrid_values("aer")),
    Tool("statevector, adjoint", "qhybrid", "gradients", _qhybrid_gradients("statevector")),
    Tool("aer, adjoint", "qhybrid", "gradients", _qhybrid_gradients("aer")),
)
