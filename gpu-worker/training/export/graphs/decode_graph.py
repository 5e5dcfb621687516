"""`decode.onnx`: the quantiser's decoder."""

import numpy as np
import onnx
from torch import Tensor, nn

from training.export.graphs.conv_layers import convolve_module, silu
from training.export.graphs.graph_builder import GraphBuilder
from training.export.graphs.stored_weights import half_stored, int8_stored
from training.models.quantizer import Quantizer, ResidualBlock


def build_decode_graph(model: Quantizer) -> onnx.ModelProto:
    """ids int64 [R, N] within 0..C-1 -> image uint8 [R, H, W, 3], as `Quantizer.decode`."""
    config = model.config
    count, size, grid, patch, side = config.grid**2, config.image_size, config.grid, config.patch, config.patch**2
    graph = GraphBuilder("decode")
    ids = graph.input("ids", "int64", ["R", count])
    # Components differ too much in size to share the scales of int8 blocks.
    vectors = graph.op("Gather", half_stored(graph, model.table.weight), _looked_up(graph, model.patch_of_code(), ids))
    own = graph.op("Add", graph.op("MatMul", vectors, half_stored(graph, model.basis)), half_stored(graph, model.mean_patch))
    own = graph.op("Transpose", graph.reshape(own, [-1, count, side, 4]), perm=[0, 1, 3, 2])  # (R, N, 4, patch^2)
    x = graph.op("Transpose", graph.reshape(vectors, [-1, grid, grid, config.components]), perm=[0, 3, 1, 2])
    for layer in model.decoder:
        x = _layer(graph, x, layer)
    learned = graph.op("Transpose", graph.reshape(x, [-1, 4, grid, patch, grid, patch]), perm=[0, 2, 4, 1, 3, 5])
    layers = graph.op("Add", own, graph.reshape(learned, [-1, count, 4, side]))
    palette = graph.constant(model.palette.numpy())
    shown = graph.op("MatMul", graph.op("Gather", palette, _looked_up(graph, model.color_of_code(), ids)), layers)
    shown = graph.op("Transpose", graph.reshape(shown, [-1, grid, grid, 4, patch, patch]), perm=[0, 3, 1, 4, 2, 5])
    layers = graph.reshape(shown, [-1, 4, size, size])
    color = graph.op("Slice", layers, *_bounds(graph, 0, 3))
    opacity = graph.op("Slice", layers, *_bounds(graph, 3, 4))
    behind = graph.op("Mul", graph.op("Sub", graph.constant(np.float32(1)), opacity), _tint(graph, model, ids))
    graph.output(_pixels(graph, graph.op("Add", color, behind)), "image", "uint8", ["R", size, size, 3])
    return graph.model()


def _looked_up(graph: GraphBuilder, table: Tensor, ids: str) -> str:
    """What a table int64 [C] says of each code: int32 [R, N]."""
    return graph.op("Gather", graph.constant(table.numpy().astype(np.int32)), ids)


def _bounds(graph: GraphBuilder, start: int, stop: int) -> list[str]:
    """Start, stop and axis of a slice of channels."""
    return [graph.constant(np.array([value], np.int64)) for value in (start, stop, 1)]


def _tint(graph: GraphBuilder, model: Quantizer, ids: str) -> str:
    """The background that most plain patches name: float32 [R, 3, 1, 1], 0..1; see `Quantizer.tint_of`."""
    plain = np.arange(len(model.tints), dtype=np.int64) + model.config.drawing_codes
    named = graph.op("Equal", graph.op("Unsqueeze", ids, graph.constant(np.array([2], np.int64))), graph.constant(plain))
    votes = graph.op("ReduceSum", graph.op("Cast", named, to=7), graph.constant(np.array([1], np.int64)), keepdims=0)
    chosen = graph.op("ArgMax", votes, axis=1, keepdims=0)
    tints = graph.op("Gather", graph.constant(model.tints.numpy().astype(np.float32)), chosen)
    return graph.reshape(tints, [-1, 3, 1, 1])


def _pixels(graph: GraphBuilder, signal: str) -> str:
    """float32 [R, 3, H, W], about 0..1, to uint8 [R, H, W, 3], rounded half to even and cut to 0..255."""
    scaled = graph.op("Mul", signal, graph.constant(np.float32(255)))
    cut = graph.op("Clip", scaled, graph.constant(np.float32(0)), graph.constant(np.float32(255)))
    return graph.op("Transpose", graph.op("Cast", graph.op("Round", cut), to=2), perm=[0, 2, 3, 1])


def _layer(graph: GraphBuilder, x: str, layer: nn.Module) -> str:
    match layer:
        case nn.Conv2d():
            return convolve_module(graph, x, layer, int8_stored)
        case ResidualBlock():
            inner = convolve_module(graph, silu(graph, x), layer.widen, int8_stored)
            return graph.op("Add", x, convolve_module(graph, silu(graph, inner), layer.narrow, int8_stored))
        case nn.PixelShuffle():
            return graph.op("DepthToSpace", x, blocksize=layer.upscale_factor, mode="CRD")
        case nn.SiLU():
            return silu(graph, x)
        case _:
            raise TypeError(f"the quantiser's decoder has a layer that decode.onnx cannot express: {type(layer).__name__}")
