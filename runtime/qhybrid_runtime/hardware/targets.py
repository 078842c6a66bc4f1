"""Make Qiskit targets: of fake QPUs by name, and of QPUs that two numbers describe."""

import importlib
import inspect
import warnings
from functools import cache
from itertools import permutations
from typing import Any

from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CZGate, IGate, RZGate, SXGate, XGate
from qiskit.transpiler import InstructionProperties, Target

from qhybrid_circuits import RequestError, UnknownNameError
from qhybrid_runtime.hardware.snapshots import snapshots

#: One-qubit gates err this much less often than two-qubit gates on the QPUs of today.
ONE_QUBIT_SHARE = 0.1


@cache
def fake_backend(name: str) -> Any:
    """Return the backend of a fake QPU; no other one is loaded.

    Raises:
        UnknownNameError: There is no fake QPU of this name.
    """
    if name not in snapshots():
        raise UnknownNameError("fake device", name, ("fake_fez", "fake_brisbane"), more=snapshots())
    short = name.removeprefix("fake_")
    module = importlib.import_module(
        f"qiskit_ibm_runtime.fake_provider.backends.{short}.fake_{short}"
    )
    (backend_class,) = (
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if getattr(member, "backend_name", None) == name
    )
    with warnings.catch_warnings():
        # Some QPUs warn that their error values are made up; `qhybrid backends` says so too.
        warnings.simplefilter("ignore", UserWarning)
        return backend_class()


@cache
def fake_target(name: str) -> Target:
    """Return the target of a fake QPU, always the same object; not to be changed."""
    return fake_backend(name).target


@cache
def uniform_target(num_qubits: int, *, depolarizing: float = 0.0, readout: float = 0.0) -> Target:
    """Return a target in which every pair is coupled and every gate of a kind errs equally.

    Its gates are cz, sx, x and rz; gates take no time, so that nothing relaxes. The target holds
    average gate infidelities, as calibration data do: 3/4 of a two-qubit gate's depolarizing
    parameter, 1/2 of a one-qubit gate's.

    Args:
        num_qubits: Number of qubits.
        depolarizing: Parameter of the depolarizing channel after a cz, as in qiskit-aer's
            `depolarizing_error(P, 2)`; sx and x have a tenth of it, rz has none.
        readout: Probability that a qubit is read wrongly.

    Raises:
        RequestError: There is no qubit, or an error is not in [0, 0.5].
    """
    if num_qubits < 1:
        raise RequestError(f"Argument `num_qubits` must be at least 1, but is {num_qubits}")
    for key, value in (("depolarizing", depolarizing), ("readout", readout)):
        if not 0 <= value <= 0.5:
            raise RequestError(f"Argument `{key}` must be from 0 to 0.5, but is {value}")
    target = Target(num_qubits=num_qubits)

    one = ONE_QUBIT_SHARE * depolarizing / 2
    gates = [(RZGate(Parameter("angle")), 0.0), (SXGate(), one), (XGate(), one), (IGate(), 0.0)]
    gates += [(Measure(), readout), (CZGate(), 3 / 4 * depolarizing)]
    for gate, error in gates if num_qubits > 1 else gates[:-1]:
        places = permutations(range(num_qubits), gate.num_qubits)
        known = {place: InstructionProperties(duration=0.0, error=error) for place in places}
        target.add_instruction(gate, known)
    return target
