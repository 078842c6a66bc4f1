from collections.abc import Sequence

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qhybrid_runtime.engine.program import Program, compile_program


class ProgramCache:
    """Programs of the circuits that were used last, found by the circuit's identity.

    Primitives and gradients are handed the same circuit object again and again. The circuit is
    kept beside its program, so that its id cannot come to mean another one.
    """

    def __init__(self, kept: int = 16) -> None:
        self._kept = kept
        self._programs: dict[tuple[int, tuple[Parameter, ...]], tuple[QuantumCircuit, Program]] = {}

    def get(self, circuit: QuantumCircuit, inputs: Sequence[Parameter]) -> Program:
        """Return the program of a circuit with these parameters as inputs, the others as weights.

        A circuit must not be changed once it was used here.
        """
        key = (id(circuit), tuple(inputs))
        known = self._programs.pop(key, None) or (circuit, compile_program(circuit, inputs))
        self._programs[key] = known
        # Several threads may be here at once: no step expects what it saw before to be there still.
        for oldest in list(self._programs)[: -self._kept]:
            self._programs.pop(oldest, None)
        return known[1]
