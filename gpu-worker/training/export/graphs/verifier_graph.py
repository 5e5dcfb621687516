"""`<verifier>.onnx`: the three questions."""

from collections.abc import Sequence

import numpy as np
import onnx
from torch import nn

from training.export.graphs.conv_layers import convolve_module, residual_trunk
from training.export.graphs.evidence_nodes import evidence
from training.export.graphs.graph_builder import CONTRIB_DOMAIN, GraphBuilder
from training.export.graphs.stored_weights import half_stored, int8_stored
from training.models.evidence import ObjectMaps
from training.models.verifier import TASKS, Verifier
from training.models.word_layers import MultiHeadAttention, PictureLayer, TextLayer


def build_verifier_graph(model: Verifier, tasks: Sequence[str] = TASKS) -> onnx.ModelProto:
    """image uint8 [R, H, W, 3], prompt_ids int64 [R, L] -> yes float32 [R, 3], as `Verifier.forward`.

    To a question that is not among `tasks` the graph answers 1.
    """
    config = model.config
    size, length = config.image_size, config.max_prompt_tokens
    graph = GraphBuilder("verifier")
    image = graph.input("image", "uint8", ["R", size, size, 3])
    prompt_ids = graph.input("prompt_ids", "int64", ["R", length])

    features = residual_trunk(graph, image, model.trunk, int8_stored)  # (R, channels, G, G)
    maps = [_object_maps(graph, features, module) for module in (model.now, model.final)]
    cells = graph.op("Transpose", graph.reshape(features, [0, 0, -1]), perm=[0, 2, 1])
    picture = graph.op("Add", _linear(graph, cells, model.picture_input), half_stored(graph, model.picture_position))
    picture = _layer_norm(graph, picture, model.picture_norm)  # (R, cells, width)

    words = graph.op("Gather", half_stored(graph, model.word_table.weight), prompt_ids, axis=0)
    words = graph.op("Add", words, half_stored(graph, model.word_position))  # (R, L, width)
    is_pad = graph.op("Cast", graph.op("Equal", prompt_ids, graph.constant(np.int64(config.pad_id))), to=1)
    word_bias = graph.op("Mul", is_pad, graph.constant(np.float32(-1e9)))
    word_bias = graph.op("Unsqueeze", word_bias, graph.constant([1, 2]))  # (R, 1, 1, L)
    words = _text_layer(graph, words, word_bias, model.grammar)
    normed = _layer_norm(graph, words, model.meaning_norm)
    heads = (model.classes, model.colors, model.numbers)
    meanings = [graph.op("Softmax", _linear(graph, normed, layer), axis=-1) for layer in heads]
    read = [evidence(graph, one, meanings, model.evidence) for one in maps]
    seen, satisfied = (graph.op("Concat", *parts, axis=-1) for parts in zip(*read, strict=True))
    is_word = graph.op("Unsqueeze", graph.op("Sub", graph.constant(np.float32(1)), is_pad), graph.constant([2]))
    weakest = graph.reduce("ReduceMin", graph.op("Mul", satisfied, is_word), 1)  # (R, 1, 2 * readings)
    words = graph.op("Add", words, _linear(graph, seen, model.evidence_input))
    # Spread over the words first: a product of R rows would round otherwise when R is 1.
    spread = graph.op("Expand", weakest, graph.op("Shape", satisfied))
    words = graph.op("Add", words, _linear(graph, spread, model.weakest_input))
    for layer in model.layers:
        words = _picture_layer(graph, words, picture, word_bias, layer)
    # All words pass the head although one is read: a product of R rows would round otherwise when R is 1.
    logits = _linear(graph, _layer_norm(graph, words, model.output_norm), model.head)
    answer = graph.op("Gather", logits, graph.constant(np.int64(0)), axis=1)
    yes = graph.op("Sigmoid", answer)
    if set(tasks) != set(TASKS):
        yes = graph.op("Where", graph.constant(np.array([task in tasks for task in TASKS])), yes, graph.constant(np.float32(1)))
    graph.output(yes, "yes", "float32", ["R", len(TASKS)])
    return graph.model()


def _object_maps(graph: GraphBuilder, features: str, module: ObjectMaps) -> list[str]:
    """Heat, extents and colours, float32 [R, classes | 4 | colours, G, G]."""
    maps = convolve_module(graph, features, module.output, half_stored)
    return graph.ops("Split", maps, graph.constant(list(module.sizes)), outputs=3, axis=1)


def _picture_layer(graph: GraphBuilder, words: str, picture: str, word_bias: str, layer: PictureLayer) -> str:
    normed = _layer_norm(graph, words, layer.picture_norm)
    words = graph.op("Add", words, _attention(graph, normed, picture, layer.picture, None))
    return _text_layer(graph, words, word_bias, layer.text)


def _text_layer(graph: GraphBuilder, words: str, word_bias: str, layer: TextLayer) -> str:
    normed = _layer_norm(graph, words, layer.words_norm)
    words = graph.op("Add", words, _attention(graph, normed, normed, layer.words, word_bias))
    wide = _product(graph, _layer_norm(graph, words, layer.mlp_norm), layer.widen)
    wide = graph.op("FastGelu", wide, half_stored(graph, layer.widen.bias), domain=CONTRIB_DOMAIN)
    return graph.op("Add", words, _linear(graph, wide, layer.narrow))


def _attention(graph: GraphBuilder, x: str, context: str, layer: MultiHeadAttention, bias: str | None) -> str:
    heads, width = layer.heads, layer.query.out_features
    head_dim = width // heads
    query = graph.reshape(_linear(graph, x, layer.query), [0, 0, heads, head_dim])
    query = graph.op("Transpose", query, perm=[0, 2, 1, 3])  # (R, heads, T, head_dim)
    joined = graph.reshape(_linear(graph, context, layer.key_value), [0, 0, 2 * heads, head_dim])
    key, value = graph.ops("Split", joined, outputs=2, axis=2, num_outputs=2)  # (R, S, heads, head_dim)
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 2, 3, 1]))
    scores = graph.op("Mul", scores, graph.constant(np.float32(head_dim**-0.5)))
    if bias is not None:
        scores = graph.op("Add", scores, bias)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), graph.op("Transpose", value, perm=[0, 2, 1, 3]))
    mixed = graph.reshape(graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), [0, 0, width])
    return _linear(graph, mixed, layer.output)


def _product(graph: GraphBuilder, x: str, layer: nn.Linear) -> str:
    return graph.op("MatMul", x, int8_stored(graph, layer.weight.T))


def _linear(graph: GraphBuilder, x: str, layer: nn.Linear) -> str:
    return graph.op("Add", _product(graph, x, layer), half_stored(graph, layer.bias))


def _layer_norm(graph: GraphBuilder, x: str, norm: nn.LayerNorm) -> str:
    gain, bias = half_stored(graph, norm.weight), half_stored(graph, norm.bias)
    return graph.op("LayerNormalization", x, gain, bias, axis=-1, epsilon=norm.eps)
