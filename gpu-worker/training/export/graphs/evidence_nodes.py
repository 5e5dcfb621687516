"""`training.models.evidence` as ONNX nodes, names and order as there."""

import numpy as np

from training.export.graphs.graph_builder import GraphBuilder
from training.models.evidence import LOG_CENTER, LOGIT_LIMIT, NO_PEAK, READINGS, SMALLEST_PROBABILITY, Evidence


def evidence(graph: GraphBuilder, maps: list[str], meanings: list[str], module: Evidence) -> tuple[str, str]:
    """`Evidence.forward`: heat, extents and colours [R, ..., G, G], and words' classes, colours and numbers [R, L, kinds + 1].

    Returns:
        float32 [R, L, features], [R, L, readings].
    """
    heat, extents, cell_colors = maps
    classes, colors, numbers = meanings
    logit, match, cell = _find(graph, heat, cell_colors, classes, colors, module.candidates)
    # (R, L, 1, K) to (R, L, readings, K)
    scaled = graph.op("Mul", graph.op("Unsqueeze", logit, graph.constant([2])), _column(graph, module.slope))
    present = graph.op("Sigmoid", graph.op("Add", scaled, _column(graph, module.shift)))
    matching = graph.op("Mul", present, graph.op("Unsqueeze", match, graph.constant([2])))
    counted = graph.op("Concat", matching, present, axis=2)
    distribution = _count_distribution(graph, counted, module.candidates)
    counts = _log(graph, distribution)
    centered = graph.op("Add", counts, graph.constant(np.float32(LOG_CENTER)))
    counts = graph.op("Mul", centered, graph.constant(np.float32(0.5)))
    sureness = graph.op("Mul", graph.slice(logit, 0, 1, 2), graph.constant(np.float32(1 / LOGIT_LIMIT)))
    names = graph.op("Sub", graph.constant(np.float32(1)), _split_last(graph, classes)[1])  # (R, L, 1)
    box = _box(graph, extents, graph.slice(cell, 0, 1, 2))
    surest = graph.op("Mul", graph.op("Concat", graph.slice(match, 0, 1, 2), *box, axis=-1), names)
    seen = graph.op("Concat", graph.reshape(counts, [0, 0, -1]), sureness, surest, axis=-1)
    return seen, graph.op("Mul", _satisfied(graph, distribution, numbers), names)


def _satisfied(graph: GraphBuilder, distribution: str, numbers: str) -> str:
    exact, any_number = _split_last(graph, numbers)
    zero, more = graph.slice(exact, 0, 1, 2), graph.slice(exact, 1, np.iinfo(np.int64).max, 2)
    wanted = graph.op("Concat", zero, graph.op("Add", more, any_number), axis=2)
    matching = graph.slice(distribution, 0, READINGS, 2)
    asked = graph.reduce(
        "ReduceSum", graph.op("Mul", matching, graph.op("Unsqueeze", wanted, graph.constant([2]))), 3, keepdims=False
    )
    return graph.op("Mul", _log(graph, asked), graph.constant(np.float32(1 / LOG_CENTER)))


def _log(graph: GraphBuilder, probability: str) -> str:
    return graph.op("Log", graph.op("Max", probability, graph.constant(np.float32(SMALLEST_PROBABILITY))))


def _find(graph: GraphBuilder, heat: str, cell_colors: str, classes: str, colors: str, candidates: int) -> tuple[str, str, str]:
    limit = graph.constant(np.float32(LOGIT_LIMIT))
    heat_shape = graph.op("Shape", heat)
    side = graph.slice(heat_shape, 2, 4, 0)
    cut = graph.op("Clip", graph.reshape(heat, [0, 0, -1]), graph.constant(np.float32(-LOGIT_LIMIT)), limit)
    named, nothing = _split_last(graph, classes)
    logits = graph.op("Sub", graph.op("MatMul", named, cut), graph.op("Mul", nothing, limit))  # (R, L, cells)
    square = graph.op("Reshape", logits, graph.op("Concat", graph.constant([0, 0]), side, axis=0))
    highest = graph.op("MaxPool", square, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    is_peak = graph.op("Equal", logits, graph.reshape(highest, [0, 0, -1]))
    peaks = graph.op("Where", is_peak, logits, graph.constant(np.float32(NO_PEAK)))
    logit, cell = graph.ops("TopK", peaks, graph.constant([candidates]), outputs=2, axis=-1)
    wanted, any_color = _split_last(graph, colors)
    probability = graph.op("Softmax", graph.reshape(cell_colors, [0, 0, -1]), axis=1)
    match = graph.op("Add", graph.op("MatMul", wanted, probability), any_color)
    return logit, graph.op("GatherElements", match, cell, axis=2), cell


def _count_distribution(graph: GraphBuilder, probability: str, count: int) -> str:
    """[R, L, Q, K] probabilities to those of 0..K, [R, L, Q, K + 1]."""
    distribution = None
    for index in range(count):
        one = graph.slice(probability, index, index + 1, 3)
        other = graph.op("Sub", graph.constant(np.float32(1)), one)
        if distribution is None:
            distribution = graph.op("Concat", other, one, axis=3)
            continue
        stay = graph.op("Mul", _padded(graph, distribution, 0, 1), other)
        distribution = graph.op("Add", stay, graph.op("Mul", _padded(graph, distribution, 1, 0), one))
    return distribution


def _box(graph: GraphBuilder, extents: str, cell: str) -> list[str]:
    """Centre and size at cells int64 [R, L, 1]: x, y, width, height, float32 [R, L, 1] each."""
    side = graph.slice(graph.op("Shape", extents), 3, 4, 0)
    share = graph.op("Cast", side, to=1)
    index = graph.op("Transpose", cell, perm=[0, 2, 1])  # (R, 1, L)
    four = graph.op("Concat", index, index, index, index, axis=1)
    edges = graph.op("GatherElements", graph.reshape(extents, [0, 0, -1]), four, axis=2)  # (R, 4, L)
    left, top, right, bottom = graph.ops("Split", graph.op("Transpose", edges, perm=[0, 2, 1]), outputs=4, axis=2, num_outputs=4)
    half = graph.constant(np.float32(0.5))
    numbers = []
    for place, low, high in (("Mod", left, right), ("Div", top, bottom)):
        at = graph.op("Add", graph.op("Cast", graph.op(place, cell, side), to=1), half)
        numbers.append(graph.op("Add", at, graph.op("Mul", graph.op("Sub", high, low), half)))
    numbers += [graph.op("Add", left, right), graph.op("Add", top, bottom)]
    return [graph.op("Div", number, share) for number in numbers]


def _split_last(graph: GraphBuilder, value: str) -> tuple[str, str]:
    """All kinds but the last, and the last: [R, L, kinds], [R, L, 1]."""
    return graph.slice(value, 0, -1, 2), graph.slice(value, -1, np.iinfo(np.int64).max, 2)


def _padded(graph: GraphBuilder, value: str, before: int, after: int) -> str:
    """Zeros before and after the last of four axes."""
    return graph.op("Pad", value, graph.constant([0, 0, 0, before, 0, 0, 0, after]))


def _column(graph: GraphBuilder, value) -> str:
    """float32 [n] as [n, 1]."""
    return graph.constant(value.detach().float().numpy()[:, None])
