from functools import cache, partial
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.circuit.equivalence_library import SessionEquivalenceLibrary
from qiskit.circuit.library import CXGate, CZGate, ECRGate, RZZGate
from qiskit.synthesis import TwoQubitBasisDecomposer, TwoQubitControlledUDecomposer
from qiskit.transpiler import PassManager, Target
from qiskit.transpiler.passes import BasisTranslator, Optimize1qGatesDecomposition, WrapAngles

from qhybrid_circuits.lowering.blocks.collect import SWAP, Matrix
from qhybrid_circuits.lowering.rzz_folding import FOLDING
from qhybrid_circuits.lowering.targets import entangler_name

_ENTANGLER_GATES = {"cz": CZGate, "cx": CXGate, "ecr": ECRGate}


def to_target_gates(circuit: QuantumCircuit, target: Target) -> QuantumCircuit:
    """Merge one-qubit gates, translate the rest, and fold angles into the target's bounds."""
    passes = [
        Optimize1qGatesDecomposition(target=target),
        BasisTranslator(SessionEquivalenceLibrary, None, target=target),
    ]
    if target.has_angle_bounds():
        passes.append(WrapAngles(target, FOLDING))
    passes.append(Optimize1qGatesDecomposition(target=target))
    return PassManager(passes).run(circuit)


def append_pair(
    circuit: QuantumCircuit, matrix: Matrix, pair: tuple[int, int], target: Target
) -> None:
    """Append a unitary of a pair of qubits as the target's two-qubit gates and one-qubit gates."""
    # A QPU with fractional gates may lack them on some pairs.
    fractional = any(target.instruction_supported("rzz", each) for each in (pair, pair[::-1]))
    name = "rzz" if fractional else entangler_name(target) or "cz"
    if not target.instruction_supported(name, pair):
        pair, matrix = (pair[1], pair[0]), SWAP @ matrix @ SWAP
    circuit.compose(_decomposer(name)(matrix), pair, inplace=True, copy=False)


@cache
def _decomposer(name: str) -> Any:
    if name == "rzz":
        return TwoQubitControlledUDecomposer(RZZGate, euler_basis="U")
    decomposer = TwoQubitBasisDecomposer(_ENTANGLER_GATES[name](), euler_basis="U")
    return partial(decomposer, approximate=False)
