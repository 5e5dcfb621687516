"""`detector.onnx`: objects and faults of a picture. Its weights are stored as released, in float16: it is the yardstick."""

import numpy as np
import onnx
from torch import nn

from training.export.graphs.conv_layers import convolve_module, pixels_to_signal, residual_block, residual_trunk
from training.export.graphs.graph_builder import GraphBuilder
from training.export.graphs.stored_weights import half_stored
from training.models.detector import Detector
from training.models.fault_finder import FaultFinder


def build_detector_graph(model: Detector, faults: FaultFinder | None = None) -> onnx.ModelProto:
    """image uint8 [R, H, W, 3] -> boxes, scores, labels, colors of the K highest peaks, as `Detector.detect`.

    With a fault finder also `faults`, as `FaultFinder.find`.
    """
    config = model.config
    size, kept, cells = config.image_size, config.max_objects, config.cells
    graph = GraphBuilder("detector")
    image = graph.input("image", "uint8", ["R", size, size, 3])
    features = residual_trunk(graph, image, model.trunk, half_stored)
    heat = graph.op("Sigmoid", convolve_module(graph, features, model.heat, half_stored))
    highest = graph.op("MaxPool", heat, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
    peaks = graph.op("Mul", heat, graph.op("Cast", graph.op("Equal", heat, highest), to=1))
    flat = graph.reshape(peaks, [0, -1])  # (R, classes*G*G)
    scores, index = graph.ops("TopK", flat, graph.constant([kept]), outputs=2, axis=1)
    cell_count = graph.constant(np.int64(cells**2))
    labels, cell = graph.op("Div", index, cell_count), graph.op("Mod", index, cell_count)

    side = graph.constant(np.int64(cells))
    column, row = graph.op("Mod", cell, side), graph.op("Div", cell, side)
    center = graph.op("Concat", _cell_center(graph, column), _cell_center(graph, row), axis=2)  # (R, K, 2)
    extents = _gather_cells(graph, convolve_module(graph, features, model.extents, half_stored), cell)  # (R, K, 4)
    low = graph.op("Sub", center, graph.slice(extents, 0, 2, 2))
    high = graph.op("Add", center, graph.slice(extents, 2, 4, 2))
    boxes = graph.op("Mul", graph.op("Concat", low, high, axis=2), graph.constant(np.float32(config.trunk.stride)))
    boxes = graph.op("Clip", boxes, graph.constant(np.float32(0)), graph.constant(np.float32(size)))
    colors = _gather_cells(graph, convolve_module(graph, features, model.colors, half_stored), cell)

    graph.output(boxes, "boxes", "float32", ["R", kept, 4])
    graph.output(scores, "scores", "float32", ["R", kept])
    graph.output(labels, "labels", "int64", ["R", kept])
    graph.output(graph.op("Softmax", colors, axis=-1), "colors", "float32", ["R", kept, config.color_count])
    if faults is not None:
        graph.output(_faults(graph, image, faults), "faults", "float32", ["R", faults.config.grid, faults.config.grid])
    return graph.model()


def _faults(graph: GraphBuilder, image: str, model: FaultFinder) -> str:
    """Probability of a fault in each patch: float32 [R, grid, grid]."""
    grid, patch = model.config.grid, model.config.patch
    signal = graph.op("Transpose", pixels_to_signal(graph, image), perm=[0, 2, 3, 1])
    cut = graph.op("Transpose", graph.reshape(signal, [-1, grid, patch, grid, patch, 3]), perm=[0, 1, 3, 2, 4, 5])
    patches = graph.reshape(cut, [-1, grid, grid, 3 * patch**2])
    x = _linear(graph, graph.op("Relu", _linear(graph, patches, model.read)), model.embed)
    x = graph.op("Transpose", x, perm=[0, 3, 1, 2])
    for block in model.blocks:
        x = residual_block(graph, x, block, half_stored)
    logits = convolve_module(graph, x, model.faults, half_stored)
    return graph.reshape(graph.op("Sigmoid", logits), [-1, grid, grid])


def _linear(graph: GraphBuilder, x: str, layer: nn.Linear) -> str:
    return graph.op("Add", graph.op("MatMul", x, half_stored(graph, layer.weight.T)), half_stored(graph, layer.bias))


def _cell_center(graph: GraphBuilder, index: str) -> str:
    """Cell index int64 [R, K] to the cell's middle, float32 [R, K, 1], in cells."""
    middle = graph.op("Add", graph.op("Cast", index, to=1), graph.constant(np.float32(0.5)))
    return graph.op("Unsqueeze", middle, graph.constant([2]))


def _gather_cells(graph: GraphBuilder, values: str, cell: str) -> str:
    """Reads [R, C, G, G] at flat cell indices [R, K]; returns [R, K, C]."""
    flat = graph.op("Transpose", graph.reshape(values, [0, 0, -1]), perm=[0, 2, 1])  # (R, G*G, C)
    return graph.op("GatherND", flat, graph.op("Unsqueeze", cell, graph.constant([2])), batch_dims=1)
