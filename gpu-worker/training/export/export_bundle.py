"""Writes the bundle that the GPU worker serves: `python -m training.export.export_bundle`.

Graphs, tokenizer, golden vectors and `manifest.json` go to `bundles/<id>/`. The manifest's schema is
`shared/bundle.ts`; the graphs' inputs and outputs are listed in `gpu-worker/training/README.md`.
"""

import argparse
import hashlib
import json
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import onnx
from tokenizers import Tokenizer

from training.data.drawing_codes import drawings_file
from training.export.bundle_models import BundleModels, Calibration, load_models, untrained_models
from training.export.golden import GoldenVectors
from training.export.golden_cases import add_golden_cases
from training.export.graphs.decode_graph import build_decode_graph
from training.export.graphs.detector_graph import build_detector_graph
from training.export.graphs.generator_graphs import build_prefix_graph, build_step_graph
from training.export.graphs.products import PRECISIONS, Precision
from training.export.graphs.runtime import GraphSession
from training.export.graphs.verifier_graph import build_verifier_graph
from training.export.shared_weights import share_weights
from training.folders import BUNDLES, CONFIGS, WEIGHTS
from training.world.classes import CLASSES, COLORS
from training.world.prompts import SET_WORDS, TINT_WORDS
from training.world.tokenizer import BOS, EOS, PAD, UNK, encode_prompt

_LARGEST_BUNDLE_BYTES = 40_000_000
_SHARED_WEIGHTS = "shared-weights.bin"
# What the bundle was measured to be worth, written after it by hand: no part of what is exported.
_OPERATING_POINTS = "operating-points.json"
# Stands for the revision while it is computed: it covers the whole manifest, hashes and settings alike.
_NO_REVISION = "0" * 64


def build_graphs(
    models: BundleModels, code_temperature: float = 1.0, precision: Precision = "int8"
) -> dict[str, onnx.ModelProto]:
    """All graphs of the bundle by file name, each self-contained."""
    return {
        "prefix.onnx": build_prefix_graph(models.generator, precision),
        "step.onnx": build_step_graph(models.generator, precision, code_temperature=code_temperature),
        "decode.onnx": build_decode_graph(models.quantizer),
        "detector.onnx": build_detector_graph(models.detector, models.faults),
        **{
            f"{name}.onnx": build_verifier_graph(verifier.model, verifier.calibration.tasks)
            for name, verifier in models.verifiers.items()
        },
    }


def export_bundle(models: BundleModels, settings: dict, directory: Path, precision: Precision = "int8") -> dict:
    """Writes every file of the bundle and returns the manifest.

    Args:
        models: what to export.
        settings: content of `configs/bundle.toml`.
        directory: the bundle's folder; files of an earlier export in it are replaced or removed.
        precision: of the generator's products; the other models compute in float32 in any case.

    Raises:
        ValueError: the bundle is larger than a repository should carry, or its default verifier is not in it.
    """
    default = settings["verifiers"]["default"]
    if default not in models.verifiers:
        raise ValueError(f"the default verifier is {default!r}; the bundle has {', '.join(models.verifiers)}")
    graphs = build_graphs(models, settings["generator"]["code_temperature"], precision)
    sessions = {name: GraphSession(graph) for name, graph in graphs.items()}
    golden = GoldenVectors("golden.bin")
    add_golden_cases(golden, sessions, models, settings)

    shared = share_weights(graphs, _SHARED_WEIGHTS)
    contents = {name: graph.SerializeToString() for name, graph in graphs.items()}
    if shared:
        contents[_SHARED_WEIGHTS] = shared
    contents["tokenizer.json"] = _tokenizer_bytes(models)
    contents["drawings.json"] = json.dumps(drawings_file(models.drawings), separators=(",", ":")).encode()
    contents["golden.json"] = json.dumps(golden.index(), indent=1).encode()
    contents["golden.bin"] = golden.binary()
    total = sum(map(len, contents.values()))
    if total > _LARGEST_BUNDLE_BYTES:
        raise ValueError(f"the bundle has {total:,} bytes; at most {_LARGEST_BUNDLE_BYTES:,} may be committed")

    call_ms = {name: _verifier_milliseconds(sessions[f"{name}.onnx"], models) for name in models.verifiers}
    manifest = _manifest(models, settings, contents, call_ms)
    text = json.dumps(manifest, indent=2) + "\n"
    manifest["revision"] = hashlib.sha256(text.encode()).hexdigest()
    contents["manifest.json"] = text.replace(_NO_REVISION, manifest["revision"]).encode()
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.iterdir():
        if stale.name not in contents and stale.name != _OPERATING_POINTS:
            stale.unlink()
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return manifest


def _manifest(models: BundleModels, settings: dict, contents: dict[str, bytes], call_ms: dict[str, float]) -> dict:
    files = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in sorted(contents.items())
    }
    generator = models.generator.config
    return {
        "format": 1,
        "id": settings["id"],
        "revision": _NO_REVISION,
        "license": settings["license"],
        "attribution": settings["attribution"],
        "files": files,
        "generator": {
            "architecture": settings["generator"]["architecture"],
            "imageSize": [models.quantizer.config.image_size] * 2,
            "grid": [generator.grid] * 2,
            "codebookSize": generator.codebook_size,
            "prefixGraph": "prefix.onnx",
            "stepGraph": "step.onnx",
            "decodeGraph": "decode.onnx",
            "layers": generator.layers,
            "heads": generator.heads,
            "headDim": generator.head_dim,
            "defaults": settings["generator"]["defaults"],
            "corrections": settings["generator"]["corrections"],
            **({"coherence": {"points": models.coherence}} if models.coherence else {}),
            "maxSteps": settings["generator"]["max_steps"],
        },
        "prompt": {
            "tokenizer": "tokenizer.json",
            "maxTokens": generator.max_prompt_tokens,
            "prefix": [BOS],
            "suffix": [EOS],
            "pad": PAD,
            "padSide": "right",
            "unknown": UNK,
            "unconditional": encode_prompt(models.tokenizer, "", generator.max_prompt_tokens).tolist(),
            "styles": _styles(models.tokenizer),
            "examples": settings["prompt"]["examples"],
        },
        "verifiers": {
            name: {**_verifier_entry(name, verifier.calibration, call_ms[name]), **_served(name, settings["verifiers"])}
            for name, verifier in models.verifiers.items()
        },
        "defaultVerifier": settings["verifiers"]["default"],
        "detector": {
            "graph": "detector.onnx",
            "classes": list(CLASSES),
            "colors": list(COLORS),
            "thresholds": settings["detector"]["thresholds"],
            "strict": {**settings["detector"]["strict"], "drawings": "drawings.json"},
        },
        "golden": "golden.json",
    }


def _verifier_entry(name: str, calibration: Calibration, call_ms: float) -> dict:
    return {
        "graph": f"{name}.onnx",
        "tasks": list(calibration.tasks),
        "thresholds": calibration.thresholds,
        "judgedSteps": list(calibration.judged_steps),
        "judgedStepsOf": calibration.judged_steps_of,
        "callMs": round(call_ms, 2),
        "economics": {"callRowSteps": calibration.call_row_steps, "pruneRates": list(calibration.prune_rates)},
        **({"fusion": calibration.fusion} if calibration.fusion else {}),
    }


def _styles(tokenizer: Tokenizer) -> list[dict]:
    """The words of a picture's style, by what they choose, in the order in which `training.world.prompts.styled` puts them."""
    axes = (("set", SET_WORDS), ("tint", TINT_WORDS))
    return [{"name": name, "tokens": [[tokenizer.token_to_id(word)] for word in words]} for name, words in axes]


def _served(name: str, verifiers: dict) -> dict:
    """What `parm` does with a verifier beyond the paper, by accept rule, where the settings say so."""
    keys = {"search": "search", "least_gain": "leastGain"}
    return {key: verifiers[setting][name] for setting, key in keys.items() if name in verifiers.get(setting, {})}


def _tokenizer_bytes(models: BundleModels) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        models.tokenizer.save(str(path))
        return path.read_bytes()


def _verifier_milliseconds(session: GraphSession, models: BundleModels) -> float:
    """Cost of judging one picture alone, on two threads."""
    size = models.quantizer.config.image_size
    image = np.zeros((1, size, size, 3), np.uint8)
    prompt_ids = encode_prompt(models.tokenizer, "a photo of a red apple", models.generator.config.max_prompt_tokens)[None]
    return session.best_milliseconds({"image": image, "prompt_ids": prompt_ids})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, help="bundle folder; default bundles/<id>, where not int8 bundles/<id>-<precision>")
    parser.add_argument("--precision", choices=PRECISIONS, default="int8", help="int8 for CPUs, float16 for GPUs")
    parser.add_argument("--untrained", action="store_true", help="random weights, to try the graphs before training")
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.settings.read_text())
    names = settings["verifiers"]["names"]
    models = untrained_models(names) if arguments.untrained else load_models(arguments.weights, names)
    name = settings["id"] if arguments.precision == "int8" else f"{settings['id']}-{arguments.precision}"
    directory = arguments.out or BUNDLES / name
    manifest = export_bundle(models, settings, directory, arguments.precision)
    total = sum(entry["bytes"] for entry in manifest["files"].values())
    print(f"{directory}: {len(manifest['files'])} files, {total / 1e6:.1f} MB, revision {manifest['revision'][:12]}")


if __name__ == "__main__":
    main()
