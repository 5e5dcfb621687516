"""The bundle's graphs against PyTorch, and rows that do not depend on their batch-mates."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from tiny_bundle import CODES, FUSION, POINTS, VERIFIER_TASKS, bundle_settings, tiny_bundle_models

from training.export.bundle_models import BundleModels, untrained_models
from training.export.export_bundle import build_graphs, export_bundle
from training.export.graphs import decode_graph, generator_graphs, verifier_graph
from training.export.graphs.graph_builder import GraphBuilder
from training.export.graphs.int8_linear import WEIGHT_LIMIT, int8_linear, quantize_rows, quantize_weight
from training.export.graphs.inverse_cdf import block_count, sample_categories
from training.export.graphs.runtime import GraphSession
from training.export.graphs.stored_weights import half_stored, int8_stored
from training.export.shared_weights import share_weights
from training.models.verifier import TASKS
from training.sampling.graph_sampling import sample_trajectory
from training.sampling.mask_predict import SamplingSettings, random_uniforms, sample
from training.world.tokenizer import encode_prompts

ROWS = 8


@pytest.fixture(scope="module")
def models() -> BundleModels:
    return tiny_bundle_models()


@pytest.fixture(scope="module")
def sessions(models) -> dict[str, GraphSession]:
    return {name: GraphSession(graph) for name, graph in build_graphs(models).items()}


@pytest.fixture(scope="module")
def inputs(models, sessions) -> dict[str, dict[str, np.ndarray]]:
    """Inputs of every graph, ROWS rows."""
    rng = np.random.default_rng(0)
    prompts = ["", "a photo of a cat", "two red dogs", "a cup above a book"]
    prompt_ids = encode_prompts(models.tokenizer, prompts)
    row_prompt = np.arange(ROWS) % 3 + 1
    image = rng.integers(0, 256, (ROWS, 96, 96, 3), dtype=np.uint8)
    tokens = rng.integers(0, CODES + 1, (ROWS, 64))
    tokens[:, ::2] = CODES
    return {
        "prefix.onnx": {"prompt_ids": prompt_ids[np.arange(ROWS) % 4]},
        "step.onnx": {
            "tokens": tokens,
            "prefix_kv": sessions["prefix.onnx"].run({"prompt_ids": prompt_ids})["prefix_kv"],
            "row_prompt": row_prompt,
            "guidance": np.linspace(0, 3, ROWS, dtype=np.float32),
            "uniform": rng.random((ROWS, 64), dtype=np.float32),
        },
        "decode.onnx": {"ids": rng.integers(0, CODES, (ROWS, 64))},
        **{f"{name}.onnx": {"image": image, "prompt_ids": prompt_ids[row_prompt]} for name in VERIFIER_TASKS},
        "detector.onnx": {"image": image},
    }


GRAPHS = ("prefix.onnx", "step.onnx", "decode.onnx", "parm.onnx", "orm-zs.onnx", "detector.onnx")
# Axis along which a graph's inputs and outputs hold rows; prefix_kv belongs to all rows of the step graph.
ROW_AXIS = {"prefix_kv": 2}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_row_is_the_same_bit_for_bit_whatever_shares_its_batch(name, size, sessions, inputs):
    together = sessions[name].run(inputs[name])
    first = ROWS - size
    part = {key: value if key == "prefix_kv" else value[first:] for key, value in inputs[name].items()}
    for key, value in sessions[name].run(part).items():
        axis = ROW_AXIS.get(key, 0)
        expected = np.take(together[key], np.arange(first, ROWS), axis)
        assert np.array_equal(value, expected), f"{key} of {name} changes when {size} rows run instead of {ROWS}"


def generator_sessions(models, precision) -> dict[str, GraphSession]:
    return {
        "prefix.onnx": GraphSession(generator_graphs.build_prefix_graph(models.generator, precision)),
        "step.onnx": GraphSession(generator_graphs.build_step_graph(models.generator, precision)),
    }


@pytest.fixture(scope="module")
def float_graphs(models) -> dict[str, GraphSession]:
    """Prefix and step graph with float32 linear layers."""
    return generator_sessions(models, "float32")


def guided_probability(models, step_inputs, prefix_kv):
    """PyTorch's distribution [R, N, C] for the inputs of the step graph."""
    tokens, rows = torch.from_numpy(step_inputs["tokens"]), torch.from_numpy(step_inputs["row_prompt"])
    with torch.inference_mode():
        conditional = models.generator.image_logits(tokens, prefix_kv, rows)
        free = models.generator.image_logits(tokens, prefix_kv, torch.zeros_like(rows))
        strength = torch.from_numpy(step_inputs["guidance"])[:, None, None]
        return ((1 + strength) * conditional - strength * free).softmax(-1)


def total_variation(models, session, step_inputs, prefix_kv):
    """Distance between the graph's distribution and PyTorch's at every position, estimated from sampled probabilities."""
    output = session.run(step_inputs)
    expected = guided_probability(models, step_inputs, prefix_kv)
    return output, expected.gather(-1, torch.from_numpy(output["ids"])[..., None])[..., 0].numpy()


def test_without_integer_layers_the_generator_graphs_equal_pytorch(models, float_graphs, inputs):
    prompt_ids = encode_prompts(models.tokenizer, ["", "a photo of a cat", "two red dogs", "a cup above a book"])
    prefix_kv = float_graphs["prefix.onnx"].run({"prompt_ids": prompt_ids})["prefix_kv"]
    with torch.inference_mode():
        expected = models.generator.prefix(torch.from_numpy(prompt_ids))
    # Word groups folded into the float16 table are rounded once more than in PyTorch.
    assert np.abs(prefix_kv - expected.numpy()).max() < 2e-3
    step_inputs = {**inputs["step.onnx"], "prefix_kv": prefix_kv}
    output, probability = total_variation(models, float_graphs["step.onnx"], step_inputs, expected)
    # Features folded into the float16 table are rounded once more than in PyTorch.
    assert np.abs(output["prob"] - probability).max() < 5e-3
    cumulative = guided_probability(models, step_inputs, expected).double().cumsum(-1)
    uniform = torch.from_numpy(step_inputs["uniform"]).double()[..., None]
    drawn = (cumulative <= uniform).sum(-1).numpy()
    masked = step_inputs["tokens"] == CODES
    assert (drawn == output["ids"])[masked].mean() > 0.97


@pytest.mark.parametrize("name", ["sessions", "float_graphs"])
def test_the_step_graph_repeats_known_codes_and_says_how_likely_they_are(name, models, inputs, request):
    session, step_inputs = request.getfixturevalue(name)["step.onnx"], inputs["step.onnx"]
    known = step_inputs["tokens"] < CODES
    output = session.run(step_inputs)
    assert 0.2 < known.mean() < 0.6 and np.array_equal(output["ids"][known], step_inputs["tokens"][known])
    assert output["ids"].max() < CODES
    expected = guided_probability(models, step_inputs, torch.from_numpy(step_inputs["prefix_kv"]))
    likely = expected.gather(-1, torch.from_numpy(output["ids"])[..., None])[..., 0].numpy()
    assert np.abs(output["prob"] - likely)[known].mean() < (0.02 if name == "sessions" else 1e-3)
    other = {**step_inputs, "uniform": 1 - step_inputs["uniform"]}
    assert np.array_equal(session.run(other)["prob"][known], output["prob"][known]), "whatever is drawn elsewhere"


def test_graphs_of_a_generator_in_training_are_those_of_its_released_form(models, inputs):
    prompt_ids = {"prompt_ids": encode_prompts(models.tokenizer, ["fluent sky two cats", "a photo of a dog"])}
    first, second = (
        {
            **GraphSession(generator_graphs.build_prefix_graph(generator)).run(prompt_ids),
            **GraphSession(generator_graphs.build_step_graph(generator)).run(inputs["step.onnx"]),
        }
        for generator in (models.generator, models.generator.folded())
    )
    assert set(first) == {"prefix_kv", "ids", "prob"} and all(np.array_equal(first[name], second[name]) for name in first)


def test_half_precision_stays_nearer_to_pytorch_than_integers_do(models, sessions, inputs):
    """float16 keeps eleven bits of a number; what is drawn differs only where a uniform lies beside a category's edge."""
    half = generator_sessions(models, "float16")
    prompt_ids = encode_prompts(models.tokenizer, ["", "a photo of a cat", "two red dogs", "a cup above a book"])
    prefix_kv = half["prefix.onnx"].run({"prompt_ids": prompt_ids})["prefix_kv"]
    with torch.inference_mode():
        expected = models.generator.prefix(torch.from_numpy(prompt_ids))
    assert prefix_kv.dtype == np.float32
    assert np.abs(prefix_kv - expected.numpy()).max() < 0.02
    step_inputs = {**inputs["step.onnx"], "prefix_kv": prefix_kv}
    output, probability = total_variation(models, half["step.onnx"], step_inputs, expected)
    assert output["prob"].dtype == np.float32
    error = np.abs(output["prob"] - probability).mean()
    integers, exact = total_variation(models, sessions["step.onnx"], inputs["step.onnx"], expected)
    assert error < 2e-3 and error < np.abs(integers["prob"] - exact).mean() / 3
    cumulative = guided_probability(models, step_inputs, expected).double().cumsum(-1)
    uniform = torch.from_numpy(step_inputs["uniform"]).double()[..., None]
    drawn = (cumulative <= uniform).sum(-1).numpy()
    assert (drawn == output["ids"])[step_inputs["tokens"] == CODES].mean() > 0.95


def matrix_types(graph) -> set[int]:
    """Element types of the stored matrices that products read."""
    kept = {tensor.name: tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) == 2}
    return {kept[name] for node in graph.graph.node if "MatMul" in node.op_type for name in node.input if name in kept}


def test_a_half_precision_graph_multiplies_halves_and_keeps_its_logits_wide(models):
    graph = generator_graphs.build_step_graph(models.generator, "float16")
    assert matrix_types(graph) == {onnx.TensorProto.FLOAT16}
    assert not any("Integer" in node.op_type or node.op_type == "QuantizeLinear" for node in graph.graph.node)
    made_by = {name: node for node in graph.graph.node for name in node.output}
    softmax = [node for node in graph.graph.node if node.op_type == "Softmax"][-1]
    product = made_by[made_by[softmax.input[0]].input[0]]
    assert product.op_type == "MatMul"
    weight = made_by[product.input[1]]
    assert (weight.op_type, weight.attribute[0].i) == ("Cast", onnx.TensorProto.FLOAT), "the output layer multiplies in float32"


def test_integer_layers_stay_close_to_pytorch(models, sessions, inputs):
    """Seven-bit weights and eight-bit activations; random weights are harder on them than trained ones."""
    step_inputs = inputs["step.onnx"]
    with torch.inference_mode():
        prompts = ["", "a photo of a cat", "two red dogs", "a cup above a book"]
        expected = models.generator.prefix(torch.from_numpy(encode_prompts(models.tokenizer, prompts)))
    difference = step_inputs["prefix_kv"] - expected.numpy()
    assert np.sqrt(np.square(difference).mean()) < 0.05 * expected.std().item()
    output, probability = total_variation(models, sessions["step.onnx"], step_inputs, expected)
    assert np.abs(output["prob"] - probability).mean() < 0.02


@pytest.fixture
def half_sessions(models, monkeypatch) -> dict[str, GraphSession]:
    """All graphs with weights stored as float16, which holds the models' weights exactly."""
    for module in (decode_graph, verifier_graph):
        monkeypatch.setattr(module, "int8_stored", half_stored)
    return {name: GraphSession(graph) for name, graph in build_graphs(models).items()}


def pixel_differences(models, session, ids):
    """Grey levels between the decode graph's pictures and PyTorch's."""
    pixels = session.run({"ids": ids})["image"].astype(int)
    return np.abs(pixels - models.quantizer.decode(torch.from_numpy(ids)).numpy().astype(int))


def verdict_differences(models, sessions, inputs, name):
    """Largest difference of P(yes) between a verifier's graph and PyTorch, by task."""
    question = inputs[f"{name}.onnx"]
    with torch.inference_mode():
        yes = models.verifiers[name].model(torch.from_numpy(question["image"]), torch.from_numpy(question["prompt_ids"]))
    difference = np.abs(sessions[f"{name}.onnx"].run(question)["yes"] - yes.numpy()).max(axis=0)
    return dict(zip(TASKS, difference, strict=True))


def test_without_integer_weights_decoder_and_verifier_equal_pytorch(models, half_sessions, inputs):
    pixels = pixel_differences(models, half_sessions["decode.onnx"], inputs["decode.onnx"]["ids"])
    assert pixels.max() <= 1 and (pixels > 0).mean() < 0.01
    assert max(verdict_differences(models, half_sessions, inputs, "parm").values()) < 1e-4


def test_integer_weights_move_few_pixels_and_no_verdict_by_much(models, sessions, inputs):
    pixels = pixel_differences(models, sessions["decode.onnx"], inputs["decode.onnx"]["ids"])
    assert 0 < pixels.mean() < 0.7 and (pixels > 2).mean() < 0.005
    difference = max(verdict_differences(models, sessions, inputs, "parm").values())
    assert 1e-6 < difference < 1e-2


def test_a_verifier_says_one_to_questions_it_was_not_taught(models, sessions, inputs):
    yes = sessions["orm-zs.onnx"].run(inputs["orm-zs.onnx"])["yes"]
    assert (yes[:, :2] == 1).all()
    assert (yes[:, 2] < 1).all()
    assert verdict_differences(models, sessions, inputs, "orm-zs")["alignment"] < 1e-2


def test_the_detector_graph_equals_pytorch(models, sessions, inputs):
    seen = sessions["detector.onnx"].run(inputs["detector.onnx"])
    expected = models.detector.detect(torch.from_numpy(inputs["detector.onnx"]["image"]))
    assert np.abs(seen["scores"] - expected.scores.numpy()).max() < 1e-3
    same = (seen["labels"] == expected.labels.numpy()).all(axis=1)
    assert same.mean() > 0.5, "peaks of nearly equal height may swap, most must not"
    assert np.abs(seen["boxes"] - expected.boxes.numpy())[same].max() < 0.1
    assert np.abs(seen["colors"] - expected.colors.numpy())[same].max() < 1e-2


@pytest.mark.parametrize("shape", [(8, 16), (4, 16, 3, 3), (7, 9)])
def test_a_stored_weight_moves_by_less_than_its_blocks_step(shape):
    weight = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    weight[0] *= 100
    weight[1] = 0
    graph = GraphBuilder("stored")
    graph.output(graph.op("Add", int8_stored(graph, weight), graph.input("zero", "float32", [])), "weight", "float32", shape)
    widened = GraphSession(graph.model()).run({"zero": np.zeros((), np.float32)})["weight"]
    assert widened.shape == shape and (widened[1] == 0).all()
    if weight.size % 64:
        assert np.array_equal(widened, weight.astype(np.float16)), "what does not divide into blocks is stored as float16"
    else:
        largest = np.abs(weight.reshape(-1, 64)).max(axis=1, keepdims=True)
        assert (np.abs(widened - weight).reshape(-1, 64) <= largest / 254 * 1.001).all()


def test_a_weight_beyond_float16_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\) does not fit float16"):
        half_stored(GraphBuilder("stored"), np.array([1.0, 1e6], np.float32))


def test_weights_of_several_graphs_are_written_once(models, tmp_path):
    graphs = {"prefix.onnx": generator_graphs.build_prefix_graph(models.generator)}
    graphs["step.onnx"] = generator_graphs.build_step_graph(models.generator)
    alone = {name: graph.SerializeToString() for name, graph in graphs.items()}
    prompt_ids = encode_prompts(models.tokenizer, ["two red dogs"])
    expected = GraphSession(graphs["prefix.onnx"]).run({"prompt_ids": prompt_ids})["prefix_kv"]
    shared = share_weights(graphs, "shared.bin")
    (tmp_path / "shared.bin").write_bytes(shared)
    (tmp_path / "prefix.onnx").write_bytes(graphs["prefix.onnx"].SerializeToString())
    layers = sum(weight.numel() for block in models.generator.blocks for weight in block.parameters() if weight.ndim > 1)
    assert layers <= len(shared) < 1.1 * layers, "eight bits a weight of the common layers"
    saved = sum(map(len, alone.values())) - sum(len(graph.SerializeToString()) for graph in graphs.values()) - len(shared)
    assert saved > 0.9 * layers
    found = GraphSession(tmp_path / "prefix.onnx").run({"prompt_ids": prompt_ids})["prefix_kv"]
    assert np.array_equal(found, expected)


def test_the_output_layer_carries_the_code_temperature(models, inputs, float_graphs):
    """Against PyTorch, whose sampler divides the logits; at 1 the graph is the ordinary one."""
    settings = SamplingSettings(steps=1, guidance=1.0, code_temperature=0.5)
    warm = GraphSession(
        generator_graphs.build_step_graph(models.generator, "float32", code_temperature=settings.code_temperature)
    )
    prompt_ids = encode_prompts(models.tokenizer, ["", "a photo of a cat"])
    prefix_kv = float_graphs["prefix.onnx"].run({"prompt_ids": prompt_ids})["prefix_kv"]
    uniforms = random_uniforms(5, settings, 4, 64)
    arguments = (prefix_kv, np.ones(4, np.int64), *(uniform.numpy() for uniform in uniforms), settings, CODES)
    ids = torch.from_numpy(prompt_ids)
    sampled = sample(models.generator, ids[1:], ids[0], torch.zeros(4, dtype=torch.int64), *uniforms, settings)
    expected = sampled.predictions.numpy()
    assert (sample_trajectory(warm, *arguments).predictions == expected).mean() > 0.97
    assert (sample_trajectory(float_graphs["step.onnx"], *arguments).predictions == expected).mean() < 0.9


def sampler_session(category_count):
    graph = GraphBuilder("sampler")
    probability = graph.input("probability", "float32", ["M", category_count])
    uniform = graph.input("uniform", "float32", ["M"])
    graph.output(sample_categories(graph, probability, uniform, category_count), "ids", "int64", ["M"])
    return GraphSession(graph.model())


@pytest.mark.parametrize("count", [1, 2, 7, 64, 8192])
def test_inverse_cdf_agrees_with_exact_arithmetic(count):
    rng = np.random.default_rng(count)
    weight = rng.random((500, count)) ** 8
    probability = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    uniform = rng.random(500, dtype=np.float32)
    output = sampler_session(count).run({"probability": probability, "uniform": uniform})
    rows = np.arange(500)
    upper = probability.astype(np.float64).cumsum(1)
    total = upper[:, -1]
    above = upper[rows, output["ids"]] / total
    below = above - probability[rows, output["ids"]] / total
    # Float32 sums of 8,192 terms are good to about 1e-6.
    assert (below <= uniform + 2e-6).all() and (uniform <= above + 2e-6).all()


def test_inverse_cdf_never_draws_the_impossible():
    """Uniforms at both ends, mass in one block only, and zeros at both ends of the table."""
    probability = np.zeros((4, 64), np.float32)
    probability[0, 5] = 1.0
    probability[1, [20, 21]] = 0.5
    probability[2, [1, 62]] = [0.25, 0.75]
    probability[3, 63] = 1.0
    session = sampler_session(64)
    for uniform in (0.0, 0.25, 0.5, np.nextafter(np.float32(1), np.float32(0)), 1.0):
        output = session.run({"probability": probability, "uniform": np.full(4, uniform, np.float32)})
        assert (probability[np.arange(4), output["ids"]] > 0).all(), f"uniform {uniform} drew {output['ids']}"


def test_blocks_divide_the_categories():
    assert block_count(8192) == 128
    assert block_count(7) == 7
    with pytest.raises(ValueError, match="category_count is 0"):
        block_count(0)


def test_integer_weights_cannot_overflow_sixteen_bits_and_keep_their_scale():
    weight = np.random.default_rng(0).normal(0, 0.1, (32, 64)).astype(np.float32)
    weight[3] = 0
    matrix, scale = quantize_weight(weight)
    assert matrix.dtype == np.int8 and matrix.shape == (64, 32)
    assert 2 * 255 * np.abs(matrix.astype(int)).max() <= 2**15 - 1
    assert np.abs(matrix.T * scale[:, None] - weight).max() <= scale.max() / 2 + 1e-7
    assert np.abs(matrix).max() == WEIGHT_LIMIT


def test_an_integer_layer_survives_rows_of_zeros_and_of_large_numbers():
    weight = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    graph = GraphBuilder("linear")
    y = int8_linear(graph, quantize_rows(graph, graph.input("x", "float32", ["M", 16])), weight, torch.arange(8.0))
    graph.output(y, "y", "float32", ["M", 8])
    x = np.random.default_rng(0).normal(0, 1, (3, 16)).astype(np.float32)
    x[1] = 0
    x[2] *= 1e6
    output = GraphSession(graph.model()).run({"x": x})["y"]
    assert np.array_equal(output[1], np.arange(8.0))
    for row in (0, 2):
        expected = x[row] @ weight.numpy().T
        assert np.abs(output[row] - np.arange(8.0) - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("corrections", "throughout", "masked"),
    [(0, False, [64, 59, 45, 24]), (3, False, [64, 59, 45, 24, 13, 9, 4]), (3, True, [64, 59, 45, 24, 13, 9, 4])],
)
def test_trajectories_of_graph_and_pytorch_agree(models, float_graphs, corrections, throughout, masked):
    """The engine's loop over the step graph, against the sampler that training uses."""
    settings = SamplingSettings(4, guidance=1.0, temperature=1.0, corrections=corrections, throughout=throughout)
    prompt_ids = encode_prompts(models.tokenizer, ["", "a photo of a cat"])
    uniforms = random_uniforms(5, settings, 4, 64)
    prefix_kv = float_graphs["prefix.onnx"].run({"prompt_ids": prompt_ids})["prefix_kv"]
    arguments = (prefix_kv, np.ones(4, np.int64), *(uniform.numpy() for uniform in uniforms), settings, CODES)
    trajectory = sample_trajectory(float_graphs["step.onnx"], *arguments)
    ids = torch.from_numpy(prompt_ids)
    expected = sample(models.generator, ids[1:], ids[0], torch.zeros(4, dtype=torch.int64), *uniforms, settings)
    found, wanted = trajectory.predictions, expected.predictions.numpy()
    assert found.shape == wanted.shape == (settings.all_steps, 4, 64)
    # The first step has no history: only uniforms beside a category's edge may differ. Later ones follow it.
    assert (found[0] == wanted[0]).mean() > 0.97
    assert (found[-1] == wanted[-1]).mean() > 0.8
    assert ((trajectory.tokens == CODES).sum(-1) == np.array(masked)[:, None]).all()
    difference, spread = np.abs(trajectory.coherence - expected.coherence.numpy()), np.ptp(expected.coherence.numpy())
    assert difference[0].max() < 0.1 and difference.mean() < 0.2 < spread


def test_the_manifest_lists_every_file_with_its_hash(models, tmp_path):
    settings = bundle_settings()
    (tmp_path / "stale.onnx").write_bytes(b"an earlier export")
    manifest = export_bundle(models, settings, tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest
    assert {path.name for path in tmp_path.iterdir()} == {*manifest["files"], "manifest.json"}
    for name, entry in manifest["files"].items():
        content = (tmp_path / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    unsigned = (tmp_path / "manifest.json").read_text().replace(manifest["revision"], "0" * 64)
    assert manifest["revision"] == hashlib.sha256(unsigned.encode()).hexdigest()
    assert len(manifest["prompt"]["unconditional"]) == manifest["prompt"]["maxTokens"]


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_a_bundle_for_gpus_differs_in_the_generators_graphs_only(models, precision, tmp_path):
    usual = export_bundle(models, bundle_settings(), tmp_path / "usual")
    manifest = export_bundle(models, bundle_settings(), tmp_path / "gpu", precision)
    changed = {name for name, entry in manifest["files"].items() if usual["files"].get(name) != entry}
    assert changed == {"prefix.onnx", "step.onnx", "shared-weights.bin", "golden.bin"}
    assert manifest["id"] == usual["id"] and manifest["revision"] != usual["revision"]
    check_golden_vectors(tmp_path / "gpu")


def test_the_manifest_says_how_paths_are_corrected_styled_and_judged_by_their_own_generator(models, tmp_path):
    settings = bundle_settings()
    settings["generator"]["corrections"] = {"steps": 2, "share": 0.3, "scoring": "shown", "throughout": True}
    manifest = export_bundle(models, settings, tmp_path)
    generator, verifiers = manifest["generator"], manifest["verifiers"]
    assert generator["corrections"] == {"steps": 2, "share": 0.3, "scoring": "shown", "throughout": True}
    assert generator["coherence"] == {"points": POINTS}
    assert all(entry["fusion"] == FUSION for entry in verifiers.values())
    words = {axis["name"]: [models.tokenizer.id_to_token(id) for [id] in axis["tokens"]] for axis in manifest["prompt"]["styles"]}
    assert list(words.items()) == [("set", ["fluent", "twemoji"]), ("tint", ["sky", "sand", "mint", "lilac"])]
    cases = json.loads((tmp_path / "golden.json").read_text())["cases"]
    [whole] = [case for case in cases if "token_uniform" in case["inputs"]]
    assert whole["outputs"]["ids"]["dims"][0] == generator["defaults"]["steps"] + 2


def test_what_was_not_fitted_is_not_in_the_manifest(models, tmp_path):
    bare = {name: replace(known, calibration=replace(known.calibration, fusion={})) for name, known in models.verifiers.items()}
    manifest = export_bundle(replace(models, verifiers=bare, coherence=[]), bundle_settings(), tmp_path)
    assert "coherence" not in manifest["generator"]
    assert not any("fusion" in entry for entry in manifest["verifiers"].values())


def test_untrained_models_have_all_that_an_export_asks_for():
    [verifier] = untrained_models(["parm"]).verifiers.values()
    calibration = verifier.calibration
    assert len(calibration.prune_rates) == len(calibration.judged_steps) and calibration.call_row_steps > 0


def test_the_manifest_has_an_entry_for_every_verifier(models, tmp_path):
    settings = bundle_settings()
    settings["verifiers"]["search"] = {"parm": {"best": "halving"}}
    settings["verifiers"]["least_gain"] = {"parm": {"best": 0.01}}
    verifiers = export_bundle(models, settings, tmp_path)["verifiers"]
    assert {name: tuple(entry["tasks"]) for name, entry in verifiers.items()} == VERIFIER_TASKS
    assert {entry["graph"] for entry in verifiers.values()} == {"parm.onnx", "orm-zs.onnx"}
    assert [verifiers["parm"].get("search"), verifiers["orm-zs"].get("search")] == [{"best": "halving"}, None]
    assert [verifiers["parm"].get("leastGain"), verifiers["orm-zs"].get("leastGain")] == [{"best": 0.01}, None]
    assert all(entry["economics"] == {"callRowSteps": 0.5, "pruneRates": [0.1, 0.25]} for entry in verifiers.values())


def test_a_default_verifier_that_is_not_exported_is_refused(models, tmp_path):
    settings = bundle_settings()
    settings["verifiers"] = {"names": ["parm"], "default": "prm-ft"}
    with pytest.raises(ValueError, match="default verifier is 'prm-ft'; the bundle has parm, orm-zs"):
        export_bundle(models, settings, tmp_path)


def test_golden_vectors_are_what_the_exported_files_compute(models, tmp_path):
    """Reads golden.json as a runtime would, and runs the graphs from their files."""
    export_bundle(models, bundle_settings(), tmp_path)
    check_golden_vectors(tmp_path)


def check_golden_vectors(bundle) -> None:
    index = json.loads((bundle / "golden.json").read_text())
    binary = (bundle / index["binary"]).read_bytes()

    def array(entry):
        data = binary[entry["offset"] : entry["offset"] + entry["bytes"]]
        return np.frombuffer(data, entry["dtype"]).reshape(entry["dims"]).copy()

    checked = set()
    for case in index["cases"]:
        given = {name: array(entry) for name, entry in case["inputs"].items()}
        session = GraphSession(bundle / case["graph"])
        if "token_uniform" in given:
            prefix_kv = GraphSession(bundle / "prefix.onnx").run({"prompt_ids": given.pop("prompt_ids")})["prefix_kv"]
            generator = json.loads((bundle / "manifest.json").read_text())["generator"]
            settings = SamplingSettings.of_bundle({"generator": {**generator, "code_temperature": 1.0}})
            trajectory = sample_trajectory(session, prefix_kv, **given, settings=settings, codebook_size=CODES)
            output = {"tokens": trajectory.tokens, "ids": trajectory.predictions}
        else:
            output = session.run(given)
        for name, entry in case["outputs"].items():
            wrong = np.abs(output[name].astype(np.float64) - array(entry)) > entry["tolerance"]["absolute"]
            assert wrong.mean() <= entry["tolerance"]["mismatch"], f"{case['name']}: {name}"
        checked.add(case["graph"])
    assert checked == set(GRAPHS)


def test_models_without_training_can_be_exported_under_every_verifiers_name():
    # Issue 17: `python -m training.export.export_bundle --untrained` crashed, since its calibration lacked what later ones have.
    names = bundle_settings()["verifiers"]["names"]
    models = untrained_models(names)
    assert list(models.verifiers) == names
    for verifier in models.verifiers.values():
        assert len(verifier.calibration.prune_rates) == len(verifier.calibration.judged_steps)
        assert verifier.calibration.call_row_steps > 0
