"""Lowered circuits and routings by content, in memory and on disk.

Files are written to a temporary name and renamed, so that a reader never sees half a file. A cache
that cannot be read or written costs time, and is no error.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from qiskit import qpy
from qiskit.circuit import Operation, QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.transpiler import Target

from qhybrid_circuits.caching import Cache
from qhybrid_circuits.directories import cache_directory
from qhybrid_circuits.files import regular, replacing

T = TypeVar("T")

#: Part of every key: to be raised when lowering gives other results than before within a release.
VERSION = 10

#: Files a folder holds at most (a lowered circuit is some 20 kB), and how often that is looked at.
_MOST_FILES, _PRUNE_EVERY = 4000, 100


class LoweringCache:
    """A folder of results, made when it is first written to, with the latest `entries` in memory.

    None for the folder keeps results in memory only.
    """

    def __init__(self, directory: Path | None, entries: int = 256) -> None:
        self.directory = directory
        self._written = 0
        self._memory = Cache[Any](entries)

    def recall(
        self,
        name: str,
        make: Callable[[], T],
        decode: Callable[[bytes], T | None],
        encode: Callable[[T], bytes],
    ) -> T:
        """Return a result from memory or from its file, or make it and keep it.

        A result of None is not written to a file; `decode` returns None where one is damaged.
        """

        def find() -> T:
            content = self.read(name)
            found = None if content is None else decode(content)
            if found is None:
                found = make()
                if found is not None:
                    self.write(name, encode(found))
            return found

        value: T = self._memory.get(name, find)
        return value

    def recall_json(
        self,
        key: str,
        make: Callable[[], T],
        from_json: Callable[[Any], T],
        to_json: Callable[[Any], Any],
    ) -> T:
        """Return a result that is kept as JSON from memory or its file, or make it and keep it."""

        def encode(value: T) -> bytes:
            return json.dumps(to_json(value)).encode()

        return self.recall(f"{key}.json", make, partial(_from_json, convert=from_json), encode)

    def read(self, name: str) -> bytes | None:
        if self.directory is None:
            return None
        try:
            content, _, seal = regular(self.directory / name).read_bytes().rpartition(b"\n")
        except OSError:
            return None
        # A flipped bit can be another angle, which nothing that follows would notice.
        return content if _seal(content) == seal else None

    def read_json(self, key: str, convert: Callable[[Any], T]) -> T | None:
        """Return what `convert` makes of a JSON file, None where the file is missing or damaged."""
        content = self.read(f"{key}.json")
        return None if content is None else _from_json(content, convert)

    def write(self, name: str, content: bytes) -> None:
        if self.directory is None:
            return
        try:
            with replacing(self.directory / name) as temporary:
                temporary.write_bytes(content + b"\n" + _seal(content))
            self._written += 1
            if self._written % _PRUNE_EVERY == 1:
                _prune(self.directory)
        except OSError:
            return


def _prune(directory: Path) -> None:
    """Remove the oldest files of a folder that has too many."""
    files = [path for path in directory.iterdir() if path.suffix in (".qpy", ".json")]
    if len(files) > _MOST_FILES:
        files.sort(key=lambda path: path.stat().st_mtime)
        for path in files[: len(files) - _MOST_FILES // 2]:
            path.unlink(missing_ok=True)


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _from_json(content: bytes, convert: Callable[[Any], T]) -> T | None:
    try:
        return convert(json.loads(content))
    except Exception:  # what a file of another version leads the conversion to
        return None


#: One for each folder, so that what is in memory is shared.
_CACHES: dict[Path | None, LoweringCache] = {}


def use_cache(choice: LoweringCache | Path | str | bool) -> LoweringCache:
    """Return the cache that a caller's choice stands for; the same folder is one cache."""
    if isinstance(choice, LoweringCache):
        return choice
    if choice is False:
        return LoweringCache(None)
    directory = cache_directory("lowering") if choice is True else Path(choice)
    return _CACHES.setdefault(directory, LoweringCache(directory))


def pack_file(circuit: QuantumCircuit, facts: Mapping[str, Any]) -> bytes:
    """Return a circuit and what is known of it as the bytes of one file: a JSON line, then QPY."""
    stream = io.BytesIO()  # Of its own: QPY counts from the beginning of what it is written to.
    qpy.dump(circuit, stream)
    return json.dumps(facts).encode() + b"\n" + stream.getvalue()


def unpack_file(content: bytes) -> tuple[QuantumCircuit, dict[str, Any]] | None:
    """Return what `pack_file` put together, or None where the bytes are something else."""
    head, _, body = content.partition(b"\n")
    try:
        facts = json.loads(head)
        circuit = qpy.load(io.BytesIO(body))[0]
    except Exception:  # Qiskit's reader meets damaged bytes with whatever they lead it to
        return None
    return (circuit, facts) if isinstance(facts, dict) else None


def content_key(*parts: object) -> str:
    """Return a hash of objects whose `repr` is all of their content, and of what makes results."""
    digest = hashlib.sha256(repr((VERSION, made_by())).encode())
    for part in parts:
        digest.update(b"\0" + repr(part).encode())
    return digest.hexdigest()[:40]


@cache
def made_by() -> tuple[str, ...]:
    """Return the versions of the packages whose passes and searches results come from."""
    found = []
    for name in ("qhybrid", "qiskit", "rustworkx"):
        try:
            found.append(version(name))
        except PackageNotFoundError:  # our own, run from a checkout
            found.append("")
    return tuple(found)


def circuit_content(circuit: QuantumCircuit) -> tuple[object, ...]:
    """Return a circuit's gates, angles and qubits; parameters by their names."""
    return (
        circuit.num_qubits,
        str(circuit.global_phase),
        tuple(
            (
                item.operation.name,
                tuple(circuit.find_bit(bit).index for bit in item.qubits),
                tuple(_parameter_content(value) for value in item.operation.params),
                getattr(item.operation, "ctrl_state", None),
                _definition_content(item.operation),
            )
            for item in circuit.data
        ),
    )


def target_content(target: Target) -> tuple[object, ...]:
    """Return a target's gates, couplings and calibration."""
    gates = tuple(
        (
            name,
            str(getattr(target.operation_from_name(name), "params", "")),
            target.gate_has_angle_bounds(name),
            tuple(
                (place, None if value is None else (value.error, value.duration))
                for place, value in target[name].items()
            ),
        )
        for name in target.operation_names
    )
    qubits = tuple(
        None if each is None else (each.t1, each.t2) for each in target.qubit_properties or ()
    )
    return (target.num_qubits, gates, qubits)


def _definition_content(operation: Operation) -> object:
    """Return a gate's definition, None where its name and parameters determine it."""
    kind = getattr(operation, "base_class", type(operation))
    standard = kind.__module__.startswith("qiskit.circuit.library.standard_gates")
    definition = getattr(operation, "definition", None)
    if standard or kind is UnitaryGate or not isinstance(definition, QuantumCircuit):
        return None
    return circuit_content(definition)


def _parameter_content(value: object) -> object:
    if isinstance(value, (int, float, complex)):
        return complex(value)
    tobytes = getattr(value, "tobytes", None)
    return tobytes() if callable(tobytes) else str(value)
