"""`decode.onnx`: the quantiser's decoder."""

import numpy as np
import onnx
from torch import nn

from training.export.conv_layers import convolve, convolve_module, signal_to_pixels, silu
from training.export.graph_builder import GraphBuilder
from training.export.stored_weights import int8_stored
from training.models.quantizer import Quantizer, ResidualBlock


def build_decode_graph(model: Quantizer) -> onnx.ModelProto:
    """ids int64 [R, N] within 0..C-1 -> image uint8 [R, H, W, 3], as `Quantizer.decode`."""
    config = model.config
    count, size = config.grid**2, config.image_size
    graph = GraphBuilder("decode")
    ids = graph.input("ids", "int64", ["R", count])
    cells = graph.reshape(ids, [-1, 1, config.grid, config.grid])
    powers = graph.constant(model.powers.view(1, -1, 1, 1).numpy())
    bits = graph.op("Mod", graph.op("Div", cells, powers), graph.constant(np.int64(2)))
    # 0 and 1 become -1 and +1: (R, bits, grid, grid)
    doubled = graph.op("Mul", graph.op("Cast", bits, to=1), graph.constant(np.float32(2)))
    x = graph.op("Sub", doubled, graph.constant(np.float32(1)))
    for layer in model.decoder:
        x = _layer(graph, x, layer)
    graph.output(signal_to_pixels(graph, x), "image", "uint8", ["R", size, size, 3])
    return graph.model()


def _layer(graph: GraphBuilder, x: str, layer: nn.Module) -> str:
    match layer:
        case nn.Conv2d():
            return convolve_module(graph, x, layer, int8_stored)
        case ResidualBlock():
            inner = convolve_module(graph, silu(graph, x), layer.widen, int8_stored)
            gain = layer.gain.view(-1)
            weight, bias = layer.narrow.weight * gain[:, None, None, None], layer.narrow.bias * gain
            return graph.op("Add", x, convolve(graph, silu(graph, inner), weight, bias, int8_stored))
        case nn.PixelShuffle():
            return graph.op("DepthToSpace", x, blocksize=layer.upscale_factor, mode="CRD")
        case nn.SiLU():
            return silu(graph, x)
        case _:
            raise TypeError(f"the quantiser's decoder has a layer that decode.onnx cannot express: {type(layer).__name__}")
