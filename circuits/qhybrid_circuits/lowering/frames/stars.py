"""Clusters of qubits laid out as stars: a vertex and its neighbours for each cluster."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import rustworkx

#: Qubits of a cluster: no QPU with few couplings has rings this small, and no vertex of one has
#: more than three neighbours.
_SIZES = (3, 4)

#: Bridges that can end at one meeting place: more would need a vertex with four neighbours.
_MOST_AT_ONE = 2

#: Choices of the bridges' meeting places that are looked at.
_MOST_CHOICES = 4096

#: Gates that a ring of HQConv takes more: with a meeting place, for the second bridge there, for a
#: second bridge at one of its leaves, and for a bridge at a leaf besides a meeting place.
_PLACE, _SECOND_THERE, _SECOND_LEAF, _BOTH = 3, 2, 14, 20


@dataclass(frozen=True)
class Star:
    """Vertices of one cluster of qubits.

    Attributes:
        qubits: The cluster.
        vertices: The centre, its neighbours (leaves), and last the meeting place if there is one: a
            vertex next to a leaf, free at first, where others' leaves are neighbours.
        edges: Pairs of positions in `vertices`.
        meets: For each bridge between two qubits that ends here, as (qubit, qubit), the position of
            the vertex where it is.
    """

    qubits: tuple[int, ...]
    vertices: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    meets: dict[tuple[int, int], int]


def star_layouts(num_qubits: int, pairs: Iterable[tuple[int, int]]) -> Iterator[list[Star]]:
    """Yield layouts of a circuit as stars that touch only at bridges of its graph of pairs.

    They differ in which stars have meeting places, so that one may fit a QPU where another does
    not. Those that take the fewest gates, by estimate, come first. Vertices are numbered
    consecutively.
    """
    graph = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(num_qubits))
    graph.add_edges_from_no_data([(min(pair), max(pair)) for pair in pairs])
    bridges = _bridges(graph)
    rings = graph.copy()
    rings.remove_edges_from(bridges)
    clusters = sorted(tuple(sorted(part)) for part in rustworkx.connected_components(rings))
    if any(len(cluster) not in _SIZES for cluster in clusters):
        return
    number = {qubit: index for index, cluster in enumerate(clusters) for qubit in cluster}
    ends = [(number[a], number[b]) for a, b in bridges]
    choices = itertools.islice(itertools.product((0, 1), repeat=len(bridges)), _MOST_CHOICES)
    layouts = []
    for choice in choices:
        hosts = [pair[which] for pair, which in zip(ends, choice, strict=True)]
        guests = [pair[1 - which] for pair, which in zip(ends, choice, strict=True)]
        cost = _cost(clusters, Counter(hosts), Counter(guests))
        if cost is not None:
            layouts.append((cost, hosts, guests))
    for _, hosts, guests in sorted(layouts):
        stars: list[Star] = []
        for index, cluster in enumerate(clusters):
            first = sum(len(star.vertices) for star in stars)
            here = [bridge for bridge, host in zip(bridges, hosts, strict=True) if host == index]
            away = [bridge for bridge, guest in zip(bridges, guests, strict=True) if guest == index]
            stars.append(_star(cluster, here, away, first))
        yield stars


def _cost(
    clusters: Sequence[Sequence[int]], hosted: Counter[int], visits: Counter[int]
) -> int | None:
    """Return the gates that a choice of meeting places takes more, None if it is none.

    `hosted` counts the bridges at a cluster's meeting place, `visits` those at its leaves.
    """
    total = 0
    for index, cluster in enumerate(clusters):
        here, away = hosted[index], visits[index]
        if here > _MOST_AT_ONE or away + bool(here) >= len(cluster):
            return None
        total += _PLACE * bool(here) + _SECOND_THERE * max(0, here - 1)
        total += _SECOND_LEAF * max(0, away - 1) + _BOTH * bool(here and away)
    return total


def _bridges(graph: "rustworkx.PyGraph[int, None]") -> list[tuple[int, int]]:
    """Return the pairs that no ring has."""
    # rustworkx.bridges leaves some out before 0.17.
    part_of = rustworkx.biconnected_components(graph)
    edges = Counter(part_of.values())
    return sorted((min(pair), max(pair)) for pair, part in part_of.items() if edges[part] == 1)


def _star(
    cluster: tuple[int, ...],
    hosted: Sequence[tuple[int, int]],
    visits: Sequence[tuple[int, int]],
    first: int,
) -> Star:
    size = len(cluster)
    edges = [(0, leaf) for leaf in range(1, size)]
    meets = {bridge: 1 + leaf for leaf, bridge in enumerate(visits)}
    if hosted:
        # Those leaves touch the meeting places of others.
        edges.append((1 + len(visits), size))
        meets.update(dict.fromkeys(hosted, size))
    vertices = tuple(range(first, first + size + bool(hosted)))
    return Star(cluster, vertices, tuple(edges), meets)
