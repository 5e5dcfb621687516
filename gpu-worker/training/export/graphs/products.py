"""How the generator's graphs multiply matrices: in integers for processors, in floats for GPUs.

Norms, softmax, residuals and the output layer stay float32 in every precision: their rounding would reach the drawn codes.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from training.export.graphs.graph_builder import GraphBuilder
from training.export.graphs.int8_linear import QuantizedRows, int8_linear, quantize_rows
from training.export.graphs.stored_weights import half_constant, half_stored

# int8: 8-bit factors, what a processor is fastest at. float16: half as wide as float32, what a GPU is fastest at. float32: for a
# GPU without float16; its file holds the same float16 weights.
Precision = Literal["int8", "float16", "float32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_FLOAT32, _FLOAT16 = 1, 10


@dataclass(frozen=True)
class Products:
    """Matrix products of one graph.

    Their results and the left factors made of them are "narrow": float16 where that is the precision, else float32.
    """

    graph: GraphBuilder
    precision: Precision

    def narrow(self, x: str) -> str:
        """float32 to the type of the products' results."""
        return self.graph.op("Cast", x, to=_FLOAT16) if self.precision == "float16" else x

    def widen(self, x: str) -> str:
        """The type of the products' results to float32."""
        return self.graph.op("Cast", x, to=_FLOAT32) if self.precision == "float16" else x

    def constant(self, value: Tensor) -> str:
        """A float value in the type of the products' results."""
        if self.precision == "float16":
            return half_constant(self.graph, value)
        return self.graph.constant(value.detach().numpy())

    def table(self, rows: Tensor, ids: str) -> str:
        """rows[ids] as float32, of a table kept as float16."""
        if self.precision == "float32":
            # A GPU without float16 cannot even look them up.
            return self.graph.op("Gather", half_stored(self.graph, rows), ids, axis=0)
        return self.graph.op("Cast", self.graph.op("Gather", half_constant(self.graph, rows), ids, axis=0), to=_FLOAT32)

    def left_factor(self, x: str) -> str | QuantizedRows:
        """Makes a narrow [M, K] ready for `linear`; once, where several layers read it."""
        return quantize_rows(self.graph, x) if self.precision == "int8" else x

    def linear(self, left: str | QuantizedRows, weight: np.ndarray | Tensor, bias: Tensor | None = None) -> str:
        """Applies a layer of weight [out, in] to a left factor; returns a narrow [M, out]."""
        if isinstance(left, QuantizedRows):
            return int8_linear(self.graph, left, weight, bias)
        store = half_constant if self.precision == "float16" else half_stored
        y = self.graph.op("MatMul", left, store(self.graph, np.asarray(weight).T))
        return y if bias is None else self.graph.op("Add", y, self.constant(bias))

    def output_layer(self, hidden: str, weight: Tensor, bias: Tensor) -> str:
        """Logits float32 [M, out] of float32 hidden states [M, K]."""
        if self.precision == "int8":
            return int8_linear(self.graph, quantize_rows(self.graph, hidden), weight, bias)
        product = self.graph.op("MatMul", hidden, half_stored(self.graph, weight.T))
        return self.graph.op("Add", product, self.graph.constant(bias.detach().numpy()))
