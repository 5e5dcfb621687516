"""A small writer of ONNX graphs.

Graphs are written by hand rather than traced: the int8 linear layer, the sampler and the dynamic row and prompt counts
are then exactly the operators we chose, and a reader of the file sees the same names as in the PyTorch module.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
# ONNX Runtime's own operators (fused attention, GELU, int8 scaling); present in every ONNX Runtime build.
CONTRIB_DOMAIN = "com.microsoft"
# Files stay readable by runtimes a year older than the exporter's onnx package.
IR_VERSION = 10

_ELEMENT_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
}


class GraphBuilder:
    """Collects nodes, constants, inputs and outputs, and returns a checked model.

    A value is named by a string; `op` returns the name of the value that it makes.
    """

    def __init__(self, name: str):
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._constant_names: dict[tuple, str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._counter = itertools.count()

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declares a graph input; a string in `shape` is a dynamic dimension of that name."""
        self._inputs.append(helper.make_tensor_value_info(name, _ELEMENT_TYPES[dtype], list(shape)))
        return name

    def output(self, value: str, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Declares `value` as the graph output `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, _ELEMENT_TYPES[dtype], list(shape)))

    def constant(self, array: np.ndarray | float | Sequence[int], dtype: str | None = None) -> str:
        """Stores a constant and returns its name; equal constants are stored once.

        Python floats become float32 and ints int64 unless `dtype` says otherwise.
        """
        value = np.asarray(array)
        if dtype is not None:
            value = value.astype(dtype)
        elif value.dtype == np.float64:
            value = value.astype(np.float32)
        value = np.ascontiguousarray(value) if value.ndim else value
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._constant_names:
            name = f"constant_{len(self._constant_names)}"
            self._constant_names[key] = name
            self._initializers[name] = numpy_helper.from_array(value, name)
        return self._constant_names[key]

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes) -> str:
        """Adds a node with one output. An empty string among `inputs` leaves that optional input out."""
        return self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, domain: str = "", **attributes) -> list[str]:
        """Adds a node with `outputs` outputs and returns their names."""
        number = next(self._counter)
        names = [f"{kind.lower()}_{number}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=f"{kind}_{number}", domain=domain, **attributes))
        return names

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """Reshapes; 0 keeps the dimension at that place, -1 is inferred."""
        return self.op("Reshape", value, self.constant(list(shape)))

    def reduce(self, kind: str, value: str, axis: int, *, keepdims: bool = True) -> str:
        """ReduceSum, ReduceMax or ReduceMin over one axis."""
        return self.op(kind, value, self.constant([axis]), keepdims=int(keepdims))

    def slice(self, value: str, start: int, stop: int, axis: int) -> str:
        """`value[start:stop]` along `axis`."""
        return self.op("Slice", value, *(self.constant([v]) for v in (start, stop, axis)))

    def model(self) -> onnx.ModelProto:
        """Returns the finished model.

        Raises:
            onnx.checker.ValidationError: a node uses a value nobody made, or types and shapes disagree.
        """
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, initializer=list(self._initializers.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB_DOMAIN, 1)],
            ir_version=IR_VERSION,
            producer_name="parm-edge",
        )
        onnx.checker.check_model(model)
        return model
