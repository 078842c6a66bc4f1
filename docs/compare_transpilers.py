"""Compare the two-qubit gates of `lower` with those of Qiskit, pytket and BQSKit.

    python docs/compare_transpilers.py [--devices NAME ...] [--circuits WORD ...] [--seeds N]
        [--bqskit SECONDS] [--keep FILE]

prints the table of hardware.md, two-qubit gates of `lower`, which is asked for the fewest, Qiskit,
pytket and BQSKit, and that of performance.md, the seconds that one run of each took. All are given
the same circuits with numbers in place of all parameters, and do not know what is measured.
Qiskit's passes run at level 3, of which the best seed counts, pytket's default passes for IBM's
QPUs at levels 2 and 3, of which the better counts, and BQSKit at level 1, each circuit for as long
as `--bqskit` says, 0 for not at all. Peers that are not installed are left out. FILE keeps what is
found, and what it has is not done again.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2, real_amplitudes, zz_feature_map
from qiskit.transpiler import Target, generate_preset_pass_manager

from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits import build_ansatz, lower
from qhybrid_circuits.lowering.cost.couplings import couplings_of
from qhybrid_circuits.lowering.targets import entangler_name
from qhybrid_runtime import QuantumLayer
from qhybrid_runtime.hardware.targets import fake_target

DEVICES = ("fake_fez", "fake_brisbane", "fake_guadalupe", "fake_kolkata", "fake_nighthawk")

#: Two-qubit gates by transpiler, and seconds of a run where known.
Found = dict[str, list[float]]

#: What was found, by device and circuit.
Known = dict[str, dict[str, Found]]

TRANSPILERS = ("lower", "qiskit", "pytket", "bqskit")


def circuits() -> dict[str, QuantumCircuit]:
    """Return the circuits with random numbers for parameters."""
    modules = build_model(ModelSpec("qlatent")).modules()
    layer = next(module for module in modules if isinstance(module, QuantumLayer))
    found = {"HQConv 12": build_ansatz("hqconv").circuit, "qlatent 12": layer.variational.circuit}
    for size in (4, 8, 12, 16):
        found[f"EfficientSU2 {size}"] = efficient_su2(size)
        found[f"EfficientSU2 circular {size}"] = efficient_su2(size, entanglement="circular")
        found[f"RealAmplitudes {size}"] = real_amplitudes(size)
        found[f"RealAmplitudes full {size}"] = real_amplitudes(size, entanglement="full", reps=1)
        found[f"ZZFeatureMap {size}"] = zz_feature_map(size)
    rng = np.random.default_rng(0)
    return {
        name: circuit.assign_parameters(rng.uniform(-3, 3, circuit.num_parameters))
        for name, circuit in found.items()
    }


def by_lower(circuit: QuantumCircuit, target: Target) -> list[int]:
    """Return the two-qubit gates of `lower`."""
    return [lower(circuit, target, prefer="gates", cache=False).circuit.num_nonlocal_gates()]


def by_qiskit(circuit: QuantumCircuit, target: Target, seeds: int) -> list[int]:
    """Return the two-qubit gates of Qiskit's passes, one for each seed."""
    managers = (
        generate_preset_pass_manager(3, target=target, seed_transpiler=seed)
        for seed in range(seeds)
    )
    return [manager.run(circuit).num_nonlocal_gates() for manager in managers]


def by_pytket(circuit: QuantumCircuit, target: Target) -> list[int]:
    """Return the two-qubit gates of pytket's levels 2 and 3."""
    from pytket.architecture import Architecture
    from pytket.backends.backendinfo import BackendInfo
    from pytket.circuit import OpType
    from pytket.extensions.qiskit import IBMQBackend, qiskit_to_tk

    entangler = {"cz": OpType.CZ, "ecr": OpType.ECR, "cx": OpType.CX}[_entangler(target)]
    pairs = couplings_of(target).pairs
    architecture = Architecture([*pairs, *((v, u) for u, v in pairs)])
    gates = {OpType.Rz, OpType.SX, OpType.X, entangler}
    info = BackendInfo("", None, "", architecture, gates)
    found = []
    for level in (2, 3):
        compiled = qiskit_to_tk(_plain(circuit))
        IBMQBackend.pass_from_info(info, level, timeout=60).apply(compiled)
        found.append(int(compiled.n_gates_of_type(entangler)))
    return found


def by_bqskit(circuit: QuantumCircuit, target: Target) -> list[int]:
    """Return the two-qubit gates of BQSKit's level 1."""
    from bqskit import MachineModel, compile
    from bqskit.compiler import Compiler
    from bqskit.ext import qiskit_to_bqskit
    from bqskit.ir.gates import CNOTGate, CZGate, ECRGate, RZGate, SqrtXGate, XGate

    entangler = {"cz": CZGate, "ecr": ECRGate, "cx": CNOTGate}[_entangler(target)]()
    gates = {entangler, RZGate(), SqrtXGate(), XGate()}
    model = MachineModel(int(target.num_qubits or 0), couplings_of(target).pairs, gates)
    with Compiler(num_workers=1) as compiler:
        done = compile(qiskit_to_bqskit(_plain(circuit)), model, 1, compiler=compiler, seed=0)
    return [int(done.count(entangler))]


def _plain(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit that peers can read."""
    manager = generate_preset_pass_manager(0, basis_gates=["cx", "u"])
    plain = QuantumCircuit(circuit.num_qubits)
    return plain.compose(manager.run(circuit))


def _entangler(target: Target) -> str:
    name = entangler_name(target)
    if name is None:
        raise SystemExit("The device must have cz, ecr or cx")
    return name


def _child(sender: Any, work: Callable[..., list[int]], arguments: Sequence[Any]) -> None:
    os.setsid()
    sender.send(work(*arguments))


def within(seconds: float, work: Callable[..., list[int]], *arguments: Any) -> list[int]:
    """Return what work returns in a process of its own, nothing where that takes longer."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_child, args=(sender, work, arguments))
    child.start()
    sender.close()
    try:
        return list(receiver.recv()) if receiver.poll(seconds) else []
    except EOFError:
        return []
    finally:
        # BQSKit's workers are processes of the child's group.
        if child.is_alive():
            os.killpg(child.pid or 0, signal.SIGKILL)
        child.join()


def compared(
    circuit: QuantumCircuit, target: Target, asked: argparse.Namespace, found: Found
) -> None:
    """Add what is missing in `found`."""
    work: dict[str, Callable[[], list[int]]] = {
        "lower": partial(by_lower, circuit, target),
        "qiskit": partial(by_qiskit, circuit, target, asked.seeds),
    }
    if find_spec("pytket"):
        work["pytket"] = partial(by_pytket, circuit, target)
    if asked.bqskit and find_spec("bqskit"):
        work["bqskit"] = partial(within, asked.bqskit, by_bqskit, circuit, target)
    for name, run in work.items():
        if name not in found:
            start = time.perf_counter()
            found[name] = [*run()]
            took = time.perf_counter() - start
            found[f"{name} seconds"] = [took / len(found[name])] if found[name] else []


def gates_cell(found: Found) -> str:
    """Return the gates of all, ours first; in bold where a peer has fewer than we."""
    gates = [found.get(name) or [] for name in TRANSPILERS]
    ours = gates[0][0]
    least = [f"{min(each):g}" if each else "-" for each in gates[1:]]
    first = f"**{ours:g}**" if any(min(each) < ours for each in gates if each) else f"{ours:g}"
    return " / ".join([first, *least])


def seconds_cell(found: Found) -> str:
    """Return the seconds that one run of each took, ours first."""
    seconds = [found.get(f"{name} seconds") for name in TRANSPILERS]
    return " / ".join(f"{each[0]:.2g}" if each else "-" for each in seconds)


def table(known: Known, cell: Callable[[Found], str]) -> str:
    """Return a table with a line for each circuit and a column for each device."""
    names = list(dict.fromkeys(name for found in known.values() for name in found))
    lines = [("", *known), ["---"] * (1 + len(known))]
    for name in names:
        cells = (found.get(name) for found in known.values())
        lines.append([name, *(cell(each) if each else "" for each in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Compare transpilers.")
    parser.add_argument("--devices", nargs="*", default=list(DEVICES))
    parser.add_argument("--circuits", nargs="*", default=[""], help="words that names have")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--bqskit", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    kept = asked.keep is not None and asked.keep.exists()
    known: Known = json.loads(asked.keep.read_text()) if kept else {}
    for device in asked.devices:
        target = fake_target(device)
        for name, circuit in circuits().items():
            fits = circuit.num_qubits <= target.num_qubits
            if not fits or not any(word in name for word in asked.circuits):
                continue
            found = known.setdefault(device, {}).setdefault(name, {})
            compared(circuit, target, asked, found)
            if asked.keep is not None:
                asked.keep.write_text(json.dumps(known))
            print(f"{device}, {name}: {gates_cell(found)}", file=sys.stderr)
    asked_for = {device: known[device] for device in asked.devices}
    print(table(asked_for, gates_cell), table(asked_for, seconds_cell), sep="\n\n")


if __name__ == "__main__":
    main()
