from collections.abc import Sequence

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qhybrid_circuits.caching import Cache, Identity
from qhybrid_runtime.engine.program import Program, compile_program


class ProgramCache:
    """Programs of the circuits that were used last, found by the circuit's identity.

    Primitives and gradients are handed the same circuit object again and again.
    """

    def __init__(self, kept: int = 16) -> None:
        self._programs: Cache[Program] = Cache(kept)

    def get(self, circuit: QuantumCircuit, inputs: Sequence[Parameter]) -> Program:
        """Return the program of a circuit with these parameters as inputs, the others as weights.

        A circuit must not be changed once it was used here.
        """
        key = (Identity(circuit), tuple(inputs))
        return self._programs.get(key, lambda: compile_program(circuit, inputs))
