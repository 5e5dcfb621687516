"""One file for the weights that several graphs of a bundle have in common.

The text prefix and the image tokens pass through the same layers, in two graphs; verifiers may share a trunk. ONNX lets a
graph's constant lie in a file beside it ("external data"), which sessions read from wherever the graph's own file lies.
"""

from collections import Counter
from collections.abc import Mapping

import onnx
from onnx import TensorProto
from onnx.external_data_helper import set_external_data

# Smaller constants stay where they are: runtimes look into them (shapes, axes) before they read other files.
_SMALLEST_BYTES = 4096
# Offsets are multiples of this, so that any element type may be read in place.
_ALIGNMENT = 64


def share_weights(graphs: Mapping[str, onnx.ModelProto], file_name: str) -> bytes:
    """Moves every large constant that at least two graphs hold into one file.

    Args:
        graphs: self-contained models by file name; changed in place, and afterwards usable only beside the file.
        file_name: the file they will refer to, in their own folder.

    Returns:
        The content of that file; empty when the graphs have nothing in common.
    """
    holders = Counter(content for graph in graphs.values() for content in {tensor.raw_data for tensor in _large_constants(graph)})
    shared, offsets = bytearray(), {}
    for graph in graphs.values():
        for tensor in _large_constants(graph):
            content = tensor.raw_data
            if holders[content] < 2:
                continue
            if content not in offsets:
                shared += bytes(-len(shared) % _ALIGNMENT)
                offsets[content] = len(shared)
                shared += content
            set_external_data(tensor, file_name, offset=offsets[content], length=len(content))
            tensor.ClearField("raw_data")
    return bytes(shared)


def _large_constants(graph: onnx.ModelProto) -> list[TensorProto]:
    return [tensor for tensor in graph.graph.initializer if len(tensor.raw_data) >= _SMALLEST_BYTES]
