"""Convolutions of PyTorch modules as ONNX nodes; weights are stored as float16 and computed with as float32."""

import numpy as np
import torch
from torch import Tensor, nn

from training.export.graph_builder import GraphBuilder
from training.models.residual_trunk import ConvNorm, ResidualTrunk


def half_stored(graph: GraphBuilder, value: Tensor | np.ndarray) -> str:
    """A float32 value kept in the file as float16; ONNX Runtime widens it once, when the session is made.

    Raises:
        ValueError: a number does not fit float16.
    """
    array = np.asarray(value.detach() if isinstance(value, Tensor) else value)
    half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise ValueError(f"a weight of shape {array.shape} does not fit float16: largest magnitude {np.abs(array).max():.3g}")
    return graph.op("Cast", graph.constant(half), to=1)


def convolve(graph: GraphBuilder, x: str, weight: Tensor, bias: Tensor | None, stride: int = 1) -> str:
    """A square convolution padded to keep the size; x float32 [B, in, H, W]."""
    side = weight.shape[-1]
    inputs = [x, half_stored(graph, weight)]
    if bias is not None:
        inputs.append(graph.constant(bias.detach().float().numpy()))
    return graph.op("Conv", *inputs, kernel_shape=[side, side], strides=[stride] * 2, pads=[side // 2] * 4)


def convolve_module(graph: GraphBuilder, x: str, module: nn.Conv2d) -> str:
    """`nn.Conv2d` with padding of half its kernel."""
    return convolve(graph, x, module.weight, module.bias, module.stride[0])


def silu(graph: GraphBuilder, x: str) -> str:
    """x * sigmoid(x)."""
    return graph.op("Mul", x, graph.op("Sigmoid", x))


def pixels_to_signal(graph: GraphBuilder, image: str) -> str:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in -1..1."""
    pixels = graph.op("Transpose", graph.op("Cast", image, to=1), perm=[0, 3, 1, 2])
    return graph.op("Sub", graph.op("Mul", pixels, graph.constant(np.float32(1 / 127.5))), graph.constant(np.float32(1)))


def signal_to_pixels(graph: GraphBuilder, signal: str) -> str:
    """float32 [B, 3, H, W], about -1..1, to uint8 [B, H, W, 3], rounded half to even and cut to 0..255."""
    scaled = graph.op("Mul", graph.op("Add", signal, graph.constant(np.float32(1))), graph.constant(np.float32(127.5)))
    cut = graph.op("Clip", scaled, graph.constant(np.float32(0)), graph.constant(np.float32(255)))
    return graph.op("Transpose", graph.op("Cast", graph.op("Round", cut), to=2), perm=[0, 2, 3, 1])


def residual_trunk(graph: GraphBuilder, image: str, trunk: ResidualTrunk) -> str:
    """`ResidualTrunk` in evaluation mode: uint8 [B, H, W, 3] to float32 [B, C, H/stride, W/stride]."""
    x = pixels_to_signal(graph, image)
    for down, *blocks in trunk.stages:
        x = graph.op("Relu", _convolve_norm(graph, x, down))
        for block in blocks:
            inner = graph.op("Relu", _convolve_norm(graph, x, block.first))
            x = graph.op("Relu", graph.op("Add", _convolve_norm(graph, inner, block.second), x))
    return x


def _convolve_norm(graph: GraphBuilder, x: str, module: ConvNorm) -> str:
    """Folds batch normalisation's running statistics into the convolution before it."""
    norm = module.norm
    gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = module.conv.weight * gain[:, None, None, None]
    return convolve(graph, x, weight, norm.bias - norm.running_mean * gain, module.conv.stride[0])
