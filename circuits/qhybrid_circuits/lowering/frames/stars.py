"""Clusters of qubits laid out as stars: a vertex and its neighbours for each cluster."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import rustworkx

#: Qubits of a cluster: no QPU with few couplings has rings this small, and no vertex of one has
#: more than three neighbours.
_SIZES = (3, 4)

#: Clusters that can meet at one vertex besides its own.
_MOST_CHILDREN = 2


@dataclass(frozen=True)
class Star:
    """Vertices of one cluster of qubits.

    Attributes:
        qubits: The cluster.
        vertices: The centre, its neighbours, and last the meeting place if there is one: a vertex
            next to the star, free at first, where others' qubits are neighbours.
        edges: Pairs of positions in `vertices`.
        meets: For each bridge between two qubits that ends here, as (qubit, qubit), the position of
            the vertex where it is.
    """

    qubits: tuple[int, ...]
    vertices: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    meets: dict[tuple[int, int], int]


def find_stars(num_qubits: int, pairs: Iterable[tuple[int, int]]) -> list[Star] | None:
    """Return a layout of a circuit as stars that touch only at bridges of its graph of pairs.

    Returns:
        The stars, vertices numbered consecutively; None where the circuit has no such layout.
    """
    graph = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(num_qubits))
    graph.add_edges_from_no_data([(min(pair), max(pair)) for pair in pairs])
    bridges = _bridges(graph)
    rings = graph.copy()
    rings.remove_edges_from(bridges)
    clusters = sorted(tuple(sorted(part)) for part in rustworkx.connected_components(rings))
    if any(len(cluster) not in _SIZES for cluster in clusters):
        return None
    number = {qubit: index for index, cluster in enumerate(clusters) for qubit in cluster}
    tree = rustworkx.PyGraph()
    tree.add_nodes_from(range(len(clusters)))
    tree.add_edges_from([(number[a], number[b], (a, b)) for a, b in bridges])
    stars: list[Star] = []
    for members in rustworkx.connected_components(tree):
        children = _best_tree(tree, sorted(members))
        if children is None:
            return None
        for cluster in sorted(members):
            first = sum(len(star.vertices) for star in stars)
            stars.append(_star(tree, clusters, cluster, children, first))
    return stars


def _bridges(graph: "rustworkx.PyGraph[int, None]") -> list[tuple[int, int]]:
    """Return the pairs that no ring has."""
    # rustworkx.bridges leaves some out before 0.17.
    part_of = rustworkx.biconnected_components(graph)
    edges = Counter(part_of.values())
    return sorted((min(pair), max(pair)) for pair, part in part_of.items() if edges[part] == 1)


def _best_tree(
    tree: "rustworkx.PyGraph[int, tuple[int, int]]", members: Sequence[int]
) -> dict[int, list[int]] | None:
    """Return every cluster's children under the root that leaves the fewest with children."""
    options = [_children(tree, root) for root in members]
    options = [each for each in options if max(map(len, each.values())) <= _MOST_CHILDREN]
    return min(options, key=lambda each: sum(map(bool, each.values())), default=None)


def _children(tree: "rustworkx.PyGraph[int, tuple[int, int]]", root: int) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {root: []}
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        children[parent] = sorted(node for node in tree.neighbors(parent) if node not in children)
        for node in children[parent]:
            children[node] = []
            waiting.append(node)
    return children


def _star(
    tree: "rustworkx.PyGraph[int, tuple[int, int]]",
    clusters: Sequence[tuple[int, ...]],
    cluster: int,
    children: dict[int, list[int]],
    first: int,
) -> Star:
    size = len(clusters[cluster])
    edges = [(0, leaf) for leaf in range(1, size)]
    meets: dict[tuple[int, int], int] = {}
    parents = [node for node, own in children.items() if cluster in own]
    for parent in parents:
        meets[tree.get_edge_data(parent, cluster)] = 1
    if children[cluster]:
        # Of its two or three leaves the first may touch the parent's meeting place.
        edges.append((1 + len(parents), size))
        for child in children[cluster]:
            meets[tree.get_edge_data(cluster, child)] = size
    number = size + bool(children[cluster])
    return Star(clusters[cluster], tuple(range(first, first + number)), tuple(edges), meets)
