"""A subject's circuits on disk, so that a second report need not build the model."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import astuple
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

import numpy as np
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qhybrid.models.model_file import SPEC_FILE, WEIGHTS_FILE
from qhybrid.report.circuits import CircuitUse, RoundPart, SubjectCircuits, ansatz_circuits
from qhybrid.report.subject import Subject
from qhybrid_circuits.disk_cache import (
    LoweringCache,
    content_key,
    pack_file,
    unpack_file,
    use_cache,
)
from qhybrid_circuits.variational import VariationalCircuit

T = TypeVar("T")

#: Folders whose source decides which circuits a model has.
_SOURCES = (
    "qhybrid/models",
    "qhybrid/report",
    "qhybrid_circuits/ansatz",
    "qhybrid_circuits/encoding",
    "qhybrid_runtime/health",
)


def subject_circuits(subject: Subject, store: LoweringCache) -> SubjectCircuits:
    """Return the circuits of a subject, from the cache where they are known.

    Raises:
        RequestError: The subject cannot be built.
    """
    if subject.kind == "ansatz":
        return ansatz_circuits(subject)
    if subject.run is not None:
        identity = _hash_files([subject.run.folder / name for name in (SPEC_FILE, WEIGHTS_FILE)])
    else:
        identity = json.dumps(subject.spec.to_dict() if subject.spec else None)
    key = content_key("subject", identity, source_fingerprint())
    known = _recall(store, key)
    if known is not None:
        return known
    from qhybrid.report.model_circuits import model_circuits

    found = model_circuits(subject)
    _keep(store, key, found)
    return found


def remembered(key: str, compute: Callable[[], Any], convert: Callable[[Any], T]) -> T:
    """Return what `convert` makes of values, such as JSON has, that were computed once."""
    store = use_cache(True)
    known = store.read_json(key, convert)
    if known is not None:
        return known
    found = compute()
    store.write(f"{key}.json", json.dumps(found).encode())
    return convert(found)


@cache
def source_fingerprint() -> str:
    """Return a hash of the source code that decides which circuits there are."""
    paths: list[Traversable] = []
    for folder in _SOURCES:
        # Importing the package itself may take torch, which a second report does without.
        package, _, inner = folder.partition("/")
        found = files(package).joinpath(inner).iterdir()
        sources = (path for path in found if path.name.endswith(".py"))
        paths += sorted(sources, key=lambda path: path.name)
    return _hash_files(paths)


def _hash_files(paths: Iterable[Traversable]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _keep(store: LoweringCache, key: str, found: SubjectCircuits) -> None:
    for index, use in enumerate(found.uses):
        store.write(f"{key}-{index}.qpy", pack_file(use.variational.circuit, _facts(use)))
    rounds = [[astuple(part) for part in parts] for parts in found.rounds or ()]
    index_file = {
        "uses": len(found.uses),
        "rounds": rounds,
        "parameters": found.parameters,
        "health": found.health,
        "influence": found.influence,
    }
    store.write(f"{key}.json", json.dumps(index_file).encode())


def _recall(store: LoweringCache, key: str) -> SubjectCircuits | None:
    def parsed(values: Any) -> SubjectCircuits | None:
        uses = [_recall_use(store, f"{key}-{index}.qpy") for index in range(int(values["uses"]))]
        known = [use for use in uses if use is not None]
        if len(known) < len(uses):
            return None
        rounds = tuple(tuple(RoundPart(*part) for part in parts) for parts in values["rounds"])
        facts = (values[key] for key in ("parameters", "health", "influence"))
        return SubjectCircuits(tuple(known), rounds, *facts)

    return store.read_json(key, parsed)


def _facts(use: CircuitUse) -> dict[str, Any]:
    variational = use.variational
    return {
        "name": variational.name,
        "inputs": [each.name for each in variational.inputs],
        "weights": [each.name for each in variational.weights],
        "observables": [
            [(label, c.real) for label, c in each.to_list()] for each in variational.observables
        ],
        "values": use.weights.tolist(),
        "circuits": use.circuits,
        "options": None if use.options is None else dict(use.options),
    }


def _recall_use(store: LoweringCache, name: str) -> CircuitUse | None:
    content = store.read(name)
    found = None if content is None else unpack_file(content)
    if found is None:
        return None
    circuit, facts = found
    own = {parameter.name: parameter for parameter in circuit.parameters}

    def parameters(names: list[str]) -> tuple[Parameter, ...]:
        # A weight that stands in no gate is not in the file.
        return tuple(own.get(name) or Parameter(name) for name in names)

    variational = VariationalCircuit(
        facts["name"],
        circuit,
        parameters(facts["inputs"]),
        parameters(facts["weights"]),
        tuple(SparsePauliOp.from_list(terms) for terms in facts["observables"]),
    )
    return CircuitUse(variational, np.array(facts["values"]), facts["circuits"], facts["options"])
