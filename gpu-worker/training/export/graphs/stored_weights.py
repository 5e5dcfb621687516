"""How float weights are kept in a graph's file: narrower than they are computed with.

A session widens them once, while it is made (ONNX Runtime folds constants), so that a run costs what float32 costs.
"""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from training.export.graphs.graph_builder import GraphBuilder

# Numbers that share one scale. Blocks of 64 brought a decoded picture twice as near to PyTorch's as one scale per output
# channel did; blocks of 32 hardly nearer.
_BLOCK = 64
_INT8_LIMIT = 127
# Keeps the scale of a block of zeros above zero.
_SMALLEST_MAXIMUM = 1e-9

# Puts a float32 value into a graph and returns the name of its float32 form.
WeightStore = Callable[[GraphBuilder, Tensor | np.ndarray], str]


def half_constant(graph: GraphBuilder, value: Tensor | np.ndarray) -> str:
    """A float32 value rounded to float16, and left so.

    Raises:
        ValueError: a number does not fit float16.
    """
    array = _as_array(value)
    largest = np.abs(array).max(initial=0)
    if not largest <= np.finfo(np.float16).max:
        raise ValueError(f"a weight of shape {array.shape} does not fit float16: largest magnitude {largest:.3g}")
    return graph.constant(array, "float16")


def half_stored(graph: GraphBuilder, value: Tensor | np.ndarray) -> str:
    """Keeps a float32 value as float16.

    Raises:
        ValueError: a number does not fit float16.
    """
    return graph.op("Cast", half_constant(graph, value), to=1)


def int8_stored(graph: GraphBuilder, value: Tensor | np.ndarray) -> str:
    """Keeps a float32 value as int8, each 64 consecutive numbers with a float32 scale of their own.

    No number moves by more than 1/254 of the largest of its block. A value that does not divide into blocks is kept as float16.
    """
    array = _as_array(value)
    if array.size % _BLOCK:
        return half_stored(graph, array)
    blocks = array.astype(np.float32).reshape(-1, _BLOCK)
    scale = np.maximum(np.abs(blocks).max(axis=1, keepdims=True), _SMALLEST_MAXIMUM) / _INT8_LIMIT
    integers = graph.op("Cast", graph.constant(np.rint(blocks / scale).astype(np.int8)), to=1)
    return graph.reshape(graph.op("Mul", integers, graph.constant(scale.astype(np.float32))), array.shape)


def _as_array(value: Tensor | np.ndarray) -> np.ndarray:
    return np.asarray(value.detach() if isinstance(value, Tensor) else value)
