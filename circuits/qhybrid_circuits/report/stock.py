from collections.abc import Iterable, Sequence
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target, generate_preset_pass_manager
from qiskit.transpiler.passes import VF2PostLayout

from qhybrid_circuits.lowering.preset import passes_of
from qhybrid_circuits.report.figures import CircuitFigures, device_figures

#: Seeds of the stock pass manager; the result with the fewest two-qubit gates counts.
STOCK_SEEDS = tuple(range(5))

#: Steps in which the stock passes look for better qubits. Their own limit is minutes of search for
#: a circuit that falls into unconnected parts; the gates are the same whatever is found.
_PLACE_STEPS = 50_000


def stock_figures(
    circuit: QuantumCircuit,
    target: Target,
    measured: Sequence[int],
    seeds: Iterable[int] = STOCK_SEEDS,
) -> CircuitFigures | None:
    """Return the figures of a circuit lowered by Qiskit's pass manager at optimization level 3.

    The circuit has no measurements; its logical qubits `measured` are read out. Of one attempt a
    seed the one with the fewest two-qubit gates is kept, then the one of less depth in them. None
    where the pass manager fails, as it does where a calibration lacks some of the couplings that
    the QPU has.
    """
    attempts = []
    for seed in seeds:
        try:
            attempts.append(_attempt(circuit, target, measured, seed))
        except QiskitError:
            continue
    return min(
        attempts, key=lambda each: (each.two_qubit_gates, each.two_qubit_depth), default=None
    )


def _attempt(
    circuit: QuantumCircuit, target: Target, measured: Sequence[int], seed: int
) -> CircuitFigures:
    manager = generate_preset_pass_manager(3, target=target, seed_transpiler=seed)
    for task in passes_of(manager):
        if isinstance(task, VF2PostLayout):
            task.call_limit = _PLACE_STEPS
    swaps = [0]

    def count(**after: Any) -> None:
        swaps.append(after["dag"].count_ops().get("swap", 0))

    lowered = manager.run(circuit, callback=count)
    own = circuit.count_ops().get("swap", 0)
    final = lowered.layout.final_index_layout()
    added = max(0, max(swaps) - own)
    return device_figures(lowered, target, [final[qubit] for qubit in measured], added)
