"""All makers of nodes, by family."""

import chains
import control
import indexing
import moves
import pointwise
import products
import quantized
import recurrent
import reductions
import tabular
import windows

FAMILIES = [
    (pointwise, 5), (moves, 6), (chains, 4), (indexing, 5), (reductions, 4), (products, 3), (windows, 5),
    (quantized, 2), (recurrent, 1), (control, 2), (tabular, 1),
]


def add(graph):
    """Adds a node, or a few that belong together."""
    families, weights = zip(*FAMILIES)
    family = graph.random.choices(families, weights)[0]
    graph.random.choice(family.MAKERS)(graph)
