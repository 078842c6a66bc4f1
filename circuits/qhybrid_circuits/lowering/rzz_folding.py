import math
from collections.abc import Sequence

from qiskit.circuit import QuantumCircuit
from qiskit.converters import circuit_to_dag
from qiskit.dagcircuit import DAGCircuit
from qiskit.transpiler import WrapAngleRegistry

#: Angles of an rzz that QPUs with fractional gates take, in radians.
RZZ_BOUNDS = (0.0, math.pi / 2)


def fold_rzz(angles: Sequence[float], qubits: Sequence[int]) -> DAGCircuit:
    """Return rzz(angle) as an rzz between 0 and pi/2, with Z and X gates beside it.

    rzz(pi) is Z on both qubits up to a phase, and X on one qubit turns the sign of the angle.
    """
    del qubits  # Every pair has the same bounds.
    turns = round(angles[0] / math.pi)
    rest = angles[0] - turns * math.pi  # between -pi/2 and pi/2
    folded = QuantumCircuit(2, global_phase=-turns * math.pi / 2)
    if turns % 2:
        folded.z(0)
        folded.z(1)
    if rest < 0:
        folded.x(0)
    folded.rzz(abs(rest), 0, 1)
    if rest < 0:
        folded.x(0)
    return circuit_to_dag(folded)


#: `fold_rzz` for the WrapAngles pass, which has no rule itself. Qiskit's own registry, which all
#: passes in the process share, stays as it is.
FOLDING = WrapAngleRegistry()
FOLDING.add_wrapper("rzz", fold_rzz)
