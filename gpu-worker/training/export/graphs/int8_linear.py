"""Integer linear layers whose rows do not know of each other."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from training.export.graphs.graph_builder import CONTRIB_DOMAIN, GraphBuilder

# Weights use -64..64: on CPUs without VNNI, ONNX Runtime adds two products of an activation (0..255) and a weight in 16
# bits, and 2 * 255 * 64 is the largest sum that fits. With the full range those CPUs would draw other pictures.
WEIGHT_LIMIT = 64
ACTIVATION_LIMIT = 127
# uint8 activations with this zero point are the fast case of ONNX Runtime's x86 kernels.
_ZERO_POINT = 128
# Keeps the scale of an all-zero row finite.
_SMALLEST_MAXIMUM = 1e-9


@dataclass(frozen=True)
class QuantizedRows:
    """Activations of M rows as integers: names of `values` uint8 [M, K] and of `scale` float32 [M]."""

    values: str
    scale: str


def quantize_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds a matrix to integers, symmetric, one scale per output channel.

    Args:
        weight: float [out, in], as `torch.nn.Linear` stores it.

    Returns:
        int8 [in, out] within -64..64, and float32 [out]; their product is the weight transposed.
    """
    weight = weight.astype(np.float32)
    scale = np.maximum(np.abs(weight).max(axis=1), _SMALLEST_MAXIMUM) / WEIGHT_LIMIT
    return np.rint(weight / scale[:, None]).astype(np.int8).T.copy(), scale.astype(np.float32)


def quantize_rows(graph: GraphBuilder, x: str) -> QuantizedRows:
    """Rounds activations to integers with one scale per row, so that batch-mates cannot change a row.

    Args:
        graph: the graph to extend.
        x: float32 [M, K].
    """
    largest = graph.reduce("ReduceMax", graph.op("Abs", x), -1, keepdims=False)  # [M]
    largest = graph.op("Max", largest, graph.constant(np.float32(_SMALLEST_MAXIMUM)))
    scale = graph.op("Mul", largest, graph.constant(np.float32(1 / ACTIVATION_LIMIT)))
    zero_points = graph.op("Expand", graph.constant(np.uint8(_ZERO_POINT)), graph.op("Shape", scale))
    return QuantizedRows(graph.op("QuantizeLinear", x, scale, zero_points, axis=0), scale)


def int8_linear(graph: GraphBuilder, x: QuantizedRows, weight: Tensor | np.ndarray, bias: Tensor | None = None) -> str:
    """Applies a linear layer to quantised rows.

    Args:
        graph: the graph to extend.
        x: [M, in].
        weight: float [out, in].
        bias: float [out], or None.

    Returns:
        Name of float32 [M, out].
    """
    matrix, scale = quantize_weight(np.asarray(weight))
    product = graph.op(
        "MatMulIntegerToFloat",
        x.values,
        graph.constant(matrix),
        graph.constant(np.float32(1)),
        graph.constant(scale),
        graph.constant(np.uint8(_ZERO_POINT)),
        domain=CONTRIB_DOMAIN,
    )
    y = graph.op("Mul", product, graph.op("Unsqueeze", x.scale, graph.constant([1])))
    return y if bias is None else graph.op("Add", y, graph.constant(bias.detach().numpy()))
