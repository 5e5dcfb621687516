"""Categorical sampling inside a graph, from uniforms that the caller supplies."""

import math

import numpy as np

from training.export.graphs.graph_builder import GraphBuilder


def block_count(category_count: int) -> int:
    """Number of equal blocks for the two-level search: the divisor of `category_count` nearest above its root.

    Raises:
        ValueError: `category_count` is below 1.
    """
    if category_count < 1:
        raise ValueError(f"category_count is {category_count}; it must be at least 1")
    root = math.isqrt(category_count - 1) + 1
    return next(n for n in range(root, category_count + 1) if category_count % n == 0)


def sample_categories(graph: GraphBuilder, probability: str, uniform: str, category_count: int) -> str:
    """Samples one category per line by inverse CDF.

    The cumulative sum is taken over block sums first and then inside the one block that holds the sample: exact up to
    float32 rounding of the sums, and ten times cheaper than a cumulative sum over all categories. Rounding can leave a
    uniform close to 1 beyond the last sum, so both levels are cut to the last entry of positive probability; a category
    of probability 0 is therefore never drawn.

    Args:
        graph: the graph to extend.
        probability: float32 [M, V], rows sum to 1.
        uniform: float32 [M], in [0, 1).
        category_count: V.

    Returns:
        Name of the sampled category, int64 [M].

    Source: inverse transform sampling; the two-level form was measured against Multinomial and a flat CumSum.
    """
    blocks = block_count(category_count)
    width = category_count // blocks
    table = graph.reshape(probability, [-1, blocks, width])  # [M, V] -> [M, blocks, width]
    block_sum = graph.reduce("ReduceSum", table, -1, keepdims=False)  # [M, blocks]
    total = graph.reduce("ReduceSum", block_sum, -1)  # [M, 1]
    target = graph.op("Mul", graph.op("Unsqueeze", uniform, graph.constant([1])), total)
    block, before = _search(graph, block_sum, target)  # [M, 1] each
    inside = graph.op("GatherND", table, block, batch_dims=1)  # [M, width]
    offset, _ = _search(graph, inside, graph.op("Sub", target, before))
    category = graph.op("Add", graph.op("Mul", block, graph.constant([width])), offset)
    return graph.op("Reshape", category, graph.constant([-1]))


def _search(graph: GraphBuilder, mass: str, target: str) -> tuple[str, str]:
    """Finds the first entry whose cumulative mass exceeds `target` (both float32 [M, n] and [M, 1]).

    Returns:
        Names of the index, int64 [M, 1], and of the mass before it, float32 [M, 1].
    """
    axis = graph.constant(np.int64(1))
    cumulative = graph.op("CumSum", mass, axis)
    before = graph.op("CumSum", mass, axis, exclusive=1)
    full = graph.slice(cumulative, -1, np.iinfo(np.int64).max, 1)
    passed = _count(graph, graph.op("LessOrEqual", cumulative, target))
    last_positive = _count(graph, graph.op("Less", cumulative, full))
    index = graph.op("Min", passed, last_positive)
    return index, graph.op("GatherElements", before, index, axis=1)


def _count(graph: GraphBuilder, condition: str) -> str:
    """Counts true entries per line: bool [M, n] -> int64 [M, 1]."""
    return graph.reduce("ReduceSum", graph.op("Cast", condition, to=7), -1)
