"""Convolutions of PyTorch modules as ONNX nodes, computed in float32; `store` says how their files keep the weights."""

import numpy as np
import torch
from torch import Tensor, nn

from training.export.graphs.graph_builder import GraphBuilder
from training.export.graphs.stored_weights import WeightStore
from training.models.residual_trunk import ConvNorm, ResidualBlock, ResidualTrunk


def convolve(graph: GraphBuilder, x: str, weight: Tensor, bias: Tensor | None, store: WeightStore, stride: int = 1) -> str:
    """A square convolution padded to keep the size; x float32 [B, in, H, W]."""
    side = weight.shape[-1]
    inputs = [x, store(graph, weight)]
    if bias is not None:
        inputs.append(graph.constant(bias.detach().float().numpy()))
    return graph.op("Conv", *inputs, kernel_shape=[side, side], strides=[stride] * 2, pads=[side // 2] * 4)


def convolve_module(graph: GraphBuilder, x: str, module: nn.Conv2d, store: WeightStore) -> str:
    """`nn.Conv2d` with padding of half its kernel."""
    return convolve(graph, x, module.weight, module.bias, store, module.stride[0])


def silu(graph: GraphBuilder, x: str) -> str:
    """x * sigmoid(x)."""
    return graph.op("Mul", x, graph.op("Sigmoid", x))


def pixels_to_signal(graph: GraphBuilder, image: str) -> str:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in -1..1."""
    pixels = graph.op("Transpose", graph.op("Cast", image, to=1), perm=[0, 3, 1, 2])
    return graph.op("Sub", graph.op("Mul", pixels, graph.constant(np.float32(1 / 127.5))), graph.constant(np.float32(1)))


def residual_trunk(graph: GraphBuilder, image: str, trunk: ResidualTrunk, store: WeightStore) -> str:
    """`ResidualTrunk` in evaluation mode: uint8 [B, H, W, 3] to float32 [B, C, H/stride, W/stride]."""
    x = pixels_to_signal(graph, image)
    for down, *blocks in trunk.stages:
        x = graph.op("Relu", _convolve_norm(graph, x, down, store))
        for block in blocks:
            x = residual_block(graph, x, block, store)
    return x


def residual_block(graph: GraphBuilder, x: str, block: ResidualBlock, store: WeightStore) -> str:
    """`ResidualBlock` in evaluation mode; x float32 [B, C, H, W]."""
    inner = graph.op("Relu", _convolve_norm(graph, x, block.first, store))
    return graph.op("Relu", graph.op("Add", _convolve_norm(graph, inner, block.second, store), x))


def _convolve_norm(graph: GraphBuilder, x: str, module: ConvNorm, store: WeightStore) -> str:
    """Folds batch normalisation's running statistics into the convolution before it."""
    norm = module.norm
    gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = module.conv.weight * gain[:, None, None, None]
    return convolve(graph, x, weight, norm.bias - norm.running_mean * gain, store, module.conv.stride[0])
