"""`prefix.onnx` and `step.onnx`: the generator and its sampler.

Letters as in `training.models.generator`: P prompts, L prompt tokens, R rows, N image tokens, D layers, H heads, C codes.
"""

import numpy as np
import onnx
from torch import Tensor

from training.export.graphs.graph_builder import CONTRIB_DOMAIN, GraphBuilder
from training.export.graphs.inverse_cdf import sample_categories
from training.export.graphs.products import Precision, Products
from training.models.generator import Block, Generator

_NORM_EPSILON = 1e-6
# Large enough to vanish in a softmax, small enough to stay finite when added to a score.
_MASKED = -1e9


def build_prefix_graph(model: Generator, precision: Precision = "int8") -> onnx.ModelProto:
    """prompt_ids int64 [P, L] -> prefix_kv float32 [D, 2, P, H, L, head_dim], as `Generator.prefix`."""
    config = model.config
    length, width = config.max_prompt_tokens, config.width
    graph = GraphBuilder("prefix")
    products = Products(graph, precision)
    prompt_ids = graph.input("prompt_ids", "int64", ["P", length])
    words = products.table(model.word_table(), prompt_ids)
    x = graph.op("Add", words, graph.constant(model.text_position.detach().numpy()))
    x = graph.reshape(x, [-1, width])  # (P*L, width)
    causal = np.triu(np.full((length, length), _MASKED, np.float32), 1)
    layers = []
    for block in model.blocks:
        query, key, value = _project(products, block, x, length)
        layers += [graph.op("Unsqueeze", part, graph.constant([0, 1])) for part in (key, value)]
        mixed = _attend(products, query, key, value, config.head_dim, bias=graph.constant(causal))
        x = _finish_block(products, block, x, mixed)
    pairs = products.widen(graph.op("Concat", *layers, axis=0))  # (2D, 1, P, H, L, head_dim)
    shape = graph.constant([config.layers, 2, -1, config.heads, length, config.head_dim])
    graph.output(
        graph.op("Reshape", pairs, shape), "prefix_kv", "float32",
        [config.layers, 2, "P", config.heads, length, config.head_dim],
    )  # fmt: skip
    return graph.model()


def build_step_graph(
    model: Generator, precision: Precision = "int8", *, code_temperature: float = 1.0, expose_probability: bool = False
) -> onnx.ModelProto:
    """One guided and sampled prediction of every image token.

    `code_temperature` is `SamplingSettings.code_temperature`: the output layer is linear in its weights, so they carry it and no
    runtime needs to know of it.

    With `expose_probability` the graph also returns `probability` float32 [R*N, C], to be compared with PyTorch; a served
    graph keeps it inside, because copying it out costs more than the step.

    Inputs: tokens int64 [R, N] (C where masked), prefix_kv float32 [D, 2, P, H, L, head_dim] whose prompt 0 is the
    unconditional one, row_prompt int64 [R] within 0..P-1, guidance float32 [R] (0 is none), uniform float32 [R, N] in
    [0, 1). Outputs: ids int64 [R, N] within 0..C-1, the sampled code where masked and the present one elsewhere; prob float32
    [R, N], the probability of each. A row without guidance has no unconditional twin and costs half of one with it; G rows are
    guided.
    """
    config = model.config
    tokens_count, width = config.image_tokens, config.width
    graph = GraphBuilder("step")
    products = Products(graph, precision)
    tokens = graph.input("tokens", "int64", ["R", tokens_count])
    prefix_shape = [config.layers, 2, "P", config.heads, config.max_prompt_tokens, config.head_dim]
    prefix_kv = graph.input("prefix_kv", "float32", prefix_shape)
    row_prompt = graph.input("row_prompt", "int64", ["R"])
    guidance = graph.input("guidance", "float32", ["R"])
    uniform = graph.input("uniform", "float32", ["R", tokens_count])

    positions = (model.row_position + model.column_position + model.cell_position).flatten(0, 1)
    codes = products.table(model.input_table(), tokens)
    x = graph.op("Add", codes, graph.constant(positions.detach().numpy()))  # (R, N, width)
    guided, opposite = _pair(graph, guidance)
    x = graph.op("Concat", x, graph.op("Gather", x, guided, axis=0), axis=0)  # conditional rows, then the twins of the guided
    x = graph.reshape(x, [-1, width])  # ((R+G)*N, width)
    unconditional = graph.op("Sub", guided, guided)
    prompts = graph.op("Concat", row_prompt, unconditional, axis=0)  # (R+G,)
    texts = products.narrow(prefix_kv)
    for index, block in enumerate(model.blocks):
        query, key, value = _project(products, block, x, tokens_count)
        layer = graph.op("Gather", texts, graph.constant(np.int64(index)), axis=0)  # (2, P, H, L, head_dim)
        text = graph.op("Gather", layer, prompts, axis=1)  # (2, R+G, H, L, head_dim)
        text_key, text_value = (graph.op("Gather", text, graph.constant(np.int64(i)), axis=0) for i in (0, 1))
        key = graph.op("Concat", text_key, key, axis=2)
        value = graph.op("Concat", text_value, value, axis=2)
        mixed = _attend(products, query, key, value, config.head_dim)
        x = _finish_block(products, block, x, mixed)
    hidden = _row_norm(graph, x, model.output_norm.gain)
    hidden = _guide(graph, hidden, guidance, opposite, tokens_count, width)
    head, bias = model.output_matrix().detach() / code_temperature, model.head.bias / code_temperature
    logits = products.output_layer(hidden, head, bias)
    probability = graph.op("Softmax", logits, axis=-1)  # (R*N, C)
    drawn = sample_categories(graph, probability, graph.reshape(uniform, [-1]), config.codebook_size)
    present = graph.reshape(tokens, [-1])
    is_known = graph.op("Less", present, graph.constant(np.int64(config.codebook_size)))
    ids = graph.op("Where", is_known, present, drawn)
    prob = graph.op("GatherElements", probability, graph.op("Unsqueeze", ids, graph.constant([1])), axis=1)
    graph.output(graph.reshape(ids, [-1, tokens_count]), "ids", "int64", ["R", tokens_count])
    graph.output(graph.reshape(prob, [-1, tokens_count]), "prob", "float32", ["R", tokens_count])
    if expose_probability:
        graph.output(probability, "probability", "float32", ["M", config.codebook_size])
    return graph.model()


def _row_norm(graph: GraphBuilder, x: str, gain: Tensor) -> str:
    """Root-mean-square norm in the operators that ONNX Runtime fuses into one."""
    power = graph.op("Pow", x, graph.constant(np.float32(2)))
    mean = graph.op("ReduceMean", power, graph.constant([-1]), keepdims=1)
    root = graph.op("Sqrt", graph.op("Add", mean, graph.constant(np.float32(_NORM_EPSILON))))
    return graph.op("Mul", graph.op("Div", x, root), graph.constant(gain.detach().numpy()))


def _project(products: Products, block: Block, x: str, length: int) -> tuple[str, str, str]:
    """Queries, keys and values of x float32 [B*T, width] with T = length: each narrow [B, H, T, head_dim]."""
    graph, attention = products.graph, block.attention
    heads, head_dim = attention.heads, attention.head_dim
    weights = [attention.query.weight, attention.key.weight, attention.value.weight]
    stacked = np.concatenate([weight.detach().numpy() for weight in weights])
    normed = products.left_factor(products.narrow(_row_norm(graph, x, block.attention_norm.gain)))
    joined = graph.reshape(products.linear(normed, stacked), [-1, length, 3 * heads, head_dim])
    query, key, value = graph.ops("Split", joined, outputs=3, axis=2, num_outputs=3)
    # The scale of attention scores rides on the gain of the query's norm.
    query = _row_norm(graph, products.widen(query), attention.query_norm.gain * head_dim**-0.5)
    key = _row_norm(graph, products.widen(key), attention.key_norm.gain)
    parts = (products.narrow(query), products.narrow(key), value)
    return tuple(graph.op("Transpose", part, perm=[0, 2, 1, 3]) for part in parts)


def _attend(products: Products, query: str, key: str, value: str, head_dim: int, bias: str | None = None) -> str:
    """Attention over [B, H, T, head_dim]; returns [B*T, width]. All narrow but `bias`, which is float32."""
    graph = products.graph
    scores = products.widen(graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2])))
    if bias is not None:
        scores = graph.op("Add", scores, bias)
    mixed = graph.op("MatMul", products.narrow(graph.op("Softmax", scores, axis=-1)), value)
    mixed = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])  # (B, T, H, head_dim)
    return graph.op("Reshape", mixed, graph.constant([-1, head_dim]))


def _finish_block(products: Products, block: Block, x: str, mixed: str) -> str:
    """Output projection and MLP with their residuals; x float32 and mixed narrow, [M, width]."""
    graph = products.graph
    width = block.attention.output.weight.shape[1]
    mixed = products.linear(products.left_factor(graph.reshape(mixed, [-1, width])), block.attention.output.weight.detach())
    x = graph.op("Add", x, products.widen(mixed))
    normed = products.left_factor(products.narrow(_row_norm(graph, x, block.mlp_norm.gain)))
    wide = products.linear(normed, block.widen.weight.detach())
    wide = graph.op("FastGelu", wide, products.constant(block.widen.bias), domain=CONTRIB_DOMAIN)
    narrow = products.linear(products.left_factor(wide), block.narrow.weight.detach(), block.narrow.bias)
    return graph.op("Add", x, products.widen(narrow))


def _pair(graph: GraphBuilder, guidance: str) -> tuple[str, str]:
    """guided [G]: the rows that have an unconditional twin. opposite [R]: the place of each row's twin among R rows and G twins,
    or the row's own place where it has none, so that guidance finds no difference."""
    is_guided = graph.op("Not", graph.op("Equal", guidance, graph.constant(np.float32(0))))
    counted = graph.op("Cast", is_guided, to=onnx.TensorProto.INT64)
    guided = graph.reshape(graph.op("NonZero", counted), [-1])
    row_count = graph.op("Shape", guidance)
    last = graph.op("Sub", row_count, graph.constant([1]))
    twin = graph.op("Add", last, graph.op("CumSum", counted, graph.constant(np.int64(0))))
    zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    own = graph.op("Range", zero, graph.op("Squeeze", row_count), one)
    return guided, graph.op("Where", is_guided, twin, own)


def _guide(graph: GraphBuilder, hidden: str, guidance: str, opposite: str, length: int, width: int) -> str:
    """(1 + g) * conditional - g * unconditional, on hidden states [(R+G)*N, width]; returns [R*N, width].

    The output layer is linear, so guiding its input equals guiding the logits at half the output layer's cost.
    """
    rows = graph.reshape(hidden, [-1, length, width])
    conditional = graph.op("Slice", rows, graph.constant([0]), graph.op("Shape", guidance))
    unconditional = graph.op("Gather", rows, opposite, axis=0)
    strength = graph.reshape(guidance, [-1, 1, 1])
    difference = graph.op("Sub", conditional, unconditional)
    guided = graph.op("Add", conditional, graph.op("Mul", strength, difference))
    return graph.reshape(guided, [-1, width])
