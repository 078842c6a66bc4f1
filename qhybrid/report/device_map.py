"""A device's couplings as an SVG picture, with the qubits that a circuit uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rustworkx
from markupsafe import Markup
from numpy.typing import NDArray

from qhybrid.report.devices import Device
from qhybrid.report.markup import fill
from qhybrid.report.stored import remembered
from qhybrid_circuits.disk_cache import content_key

Array = NDArray[np.float64]

#: Rounds of the search for positions.
_ROUNDS = 300

#: Pixels between neighbours, and around the qubits that are shown.
_SPACING, _MARGIN = 40.0, 30.0


@dataclass(frozen=True, eq=False)
class DeviceMap:
    """Where a device's qubits are drawn.

    Attributes:
        pairs: Qubits that are coupled, (smaller, larger).
        positions: Shape (n_qubits, 2); neighbours are about 1 apart.
    """

    pairs: tuple[tuple[int, int], ...]
    positions: Array


def device_map(device: Device) -> DeviceMap:
    """Return where to draw a device's qubits, from the cache where that is known."""

    def compute() -> dict[str, Any]:
        target = device.load()
        pairs = {
            (min(place), max(place))
            for name in target.operation_names
            for place in target[name] or ()
            if place is not None and len(place) == 2
        }
        positions = lay_out(int(target.num_qubits), sorted(pairs))
        return {"pairs": sorted(pairs), "positions": positions.round(4).tolist()}

    def parsed(values: Any) -> DeviceMap:
        pairs = tuple((int(a), int(b)) for a, b in values["pairs"])
        return DeviceMap(pairs, np.array(values["positions"], dtype=float).reshape(-1, 2))

    return remembered(content_key("map", 2, device.fingerprint), compute, parsed)


def lay_out(num_qubits: int, pairs: Sequence[tuple[int, int]]) -> Array:
    """Place a device's qubits in the plane.

    Lattices that are numbered row by row, as all large devices are, get their rows. Of others the
    positions minimize the stress of Kamada and Kawai (1989), squared differences between
    distances in the plane and in the graph over the latter's squares, by majorization (Gansner,
    Koren and North 2004), and are then turned.

    Returns:
        Shape (num_qubits, 2); wider than high.
    """
    rows = _rows(num_qubits, pairs)
    if rows is not None:
        return rows
    graph = _graph(num_qubits, pairs)
    wanted = np.asarray(rustworkx.distance_matrix(graph, null_value=-1.0))
    # Parts that are not connected stand beside each other.
    wanted[wanted < 0] = wanted.max(initial=0.0) + 2
    np.fill_diagonal(wanted, 0.0)
    positions = _spectral(wanted)
    if num_qubits > 2:
        positions = _majorize(positions, wanted)
    return _turned(positions, pairs)


def _graph(num_qubits: int, pairs: Sequence[tuple[int, int]]) -> Any:
    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(num_qubits))
    graph.add_edges_from_no_data(list(pairs))
    return graph


def _rows(num_qubits: int, pairs: Sequence[tuple[int, int]]) -> Array | None:
    """Place a lattice: neighbours of consecutive numbers side by side, others below each other.

    Returns:
        Shape (num_qubits, 2), or None where that does not work out.
    """
    graph = _graph(num_qubits, pairs)
    if num_qubits < 2 or not rustworkx.is_connected(graph):
        return None
    places: dict[int, tuple[int, int]] = {0: (0, 0)}
    # From qubit 0 outwards, so that the first end of each pair has its place already.
    for first, followers in rustworkx.bfs_successors(graph.to_directed(), 0):
        x, y = places[first]
        for second in followers:
            step = 1 if second > first else -1
            across = abs(first - second) == 1
            places[second] = (x + step, y) if across else (x, y + step)
    fits = all(
        (abs(places[a][0] - places[b][0]), abs(places[a][1] - places[b][1]))
        == ((1, 0) if b - a == 1 else (0, 1))
        for a, b in pairs
    )
    if not fits or len(set(places.values())) < num_qubits:
        return None
    positions = np.array([places[qubit] for qubit in range(num_qubits)], dtype=float)
    return np.asarray(positions - positions.min(axis=0))


def _spectral(wanted: Array) -> Array:
    """Return classical multidimensional scaling's positions: a start that is unfolded already."""
    count = len(wanted)
    centering = np.eye(count) - 1.0 / count
    values, vectors = np.linalg.eigh(-0.5 * centering @ wanted**2 @ centering)
    top = np.argsort(values)[::-1][:2]
    found = np.zeros((count, 2))
    found[:, : len(top)] = vectors[:, top] * np.sqrt(np.maximum(values[top], 1e-9))
    # Vertices that the scaling puts on one point must be apart for the majorization to part them.
    jitter = np.random.default_rng(0).normal(scale=1e-3, size=found.shape)
    return np.asarray(found + jitter)


def _majorize(positions: Array, wanted: Array) -> Array:
    count = len(wanted)
    with np.errstate(divide="ignore"):
        weights = np.where(wanted > 0, wanted**-2.0, 0.0)
    laplacian = np.diag(weights.sum(axis=1)) - weights
    inverse = np.linalg.pinv(laplacian)
    for _ in range(_ROUNDS):
        differences = positions[:, None] - positions[None]
        distances = np.sqrt((differences**2).sum(axis=-1))
        distances[distances < 1e-9] = 1e-9
        pull = -weights * wanted / distances
        np.fill_diagonal(pull, 0.0)
        pull[np.arange(count), np.arange(count)] = -pull.sum(axis=1)
        positions = inverse @ pull @ positions
    return np.asarray(positions)


def _turned(positions: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """Turn positions so that couplings lie along the axes, and the wider side lies across."""
    if pairs:
        first, second = np.array(pairs).T
        steps = positions[first] - positions[second]
        # Four quarter turns are none, so couplings of a lattice agree in four times their angle.
        angle = np.angle(np.exp(4j * np.arctan2(steps[:, 1], steps[:, 0])).sum()) / 4
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        positions = positions @ turn
    extent = np.ptp(positions, axis=0)
    if extent[1] > extent[0]:
        positions = positions[:, ::-1]
    if positions[0, 0] > positions[-1, 0]:
        positions = positions * [-1, 1]
    if positions[0, 1] > positions[-1, 1]:
        positions = positions * [1, -1]
    return np.asarray(positions - positions.min(axis=0))


def draw_layout(device: DeviceMap, report: Mapping[str, Any]) -> tuple[Markup, Markup]:
    """Return the whole device, and the part that a circuit uses with the circuit's qubits named."""
    used = set(report["used_qubits"])
    near = sorted(used.union(*(pair for pair in device.pairs if used & set(pair))))
    everywhere = range(len(device.positions))
    # Names need more room between the qubits.
    return (
        _draw(device, report, everywhere, _SPACING, named=False),
        _draw(device, report, near, 1.6 * _SPACING, named=True),
    )


def _draw(
    device: DeviceMap, report: Mapping[str, Any], shown: Sequence[int], step: float, *, named: bool
) -> Markup:
    used, logical = set(report["used_qubits"]), {q: i for i, q in enumerate(report["layout"])}
    corner = device.positions[list(shown)].min(axis=0)
    places = {q: (device.positions[q] - corner) * step + _MARGIN for q in shown}
    width, height = np.array(list(places.values())).max(axis=0) + _MARGIN
    return fill(
        "map.svg",
        report=report,
        width=width,
        height=height,
        named=named,
        couplings=[
            (places[a], places[b], {a, b} <= used)
            for a, b in device.pairs
            if a in places and b in places
        ],
        qubits=[(q, place, q in used, logical.get(q)) for q, place in places.items()],
    )
