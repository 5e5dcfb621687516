"""Prompts in, pictures out, through the graphs that are served: integer layers and stored weights included."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.export.graphs.decode_graph import build_decode_graph
from training.export.graphs.generator_graphs import build_prefix_graph, build_step_graph
from training.export.graphs.runtime import GraphSession
from training.models.generator import Generator
from training.models.quantizer import Quantizer
from training.sampling.graph_sampling import sample_trajectory
from training.sampling.mask_predict import SamplingSettings, random_uniforms
from training.world.prompts import drawn_styles
from training.world.tokenizer import build_tokenizer, encode_prompts

_ROWS = 16  # rows a batch: 16 * 64 * 8192 float32 probabilities are 32 MiB


class GraphPainter:
    """Paints unselected samples as the engine does, without a queue or a verifier."""

    def __init__(
        self, prefix: GraphSession, step: GraphSession, decode: GraphSession, tokenizer: Tokenizer, *,
        prompt_tokens: int, image_tokens: int, codebook_size: int, code_temperature: float,
    ):  # fmt: skip
        self._prefix, self._step, self._decode, self._tokenizer = prefix, step, decode, tokenizer
        self._prompt_tokens, self._image_tokens, self._codebook_size = prompt_tokens, image_tokens, codebook_size
        self._code_temperature = code_temperature

    @classmethod
    def of_weights(cls, generator: Generator, quantizer: Quantizer, code_temperature: float, threads: int) -> "GraphPainter":
        """Exports the models in memory."""
        graphs = (
            build_prefix_graph(generator),
            build_step_graph(generator, code_temperature=code_temperature),
            build_decode_graph(quantizer),
        )
        config = generator.config
        return cls(
            *(GraphSession(graph, threads) for graph in graphs), build_tokenizer(),
            prompt_tokens=config.max_prompt_tokens, image_tokens=config.image_tokens, codebook_size=config.codebook_size,
            code_temperature=code_temperature,
        )  # fmt: skip

    @classmethod
    def of_bundle(cls, bundle: Path, threads: int) -> "GraphPainter":
        """Opens a bundle's folder. Its code temperature is what it was exported with, and counts as 1 here."""
        manifest = json.loads((bundle / "manifest.json").read_text())
        generator, prompt = manifest["generator"], manifest["prompt"]
        graphs = (generator["prefixGraph"], generator["stepGraph"], generator["decodeGraph"])
        rows, columns = generator["grid"]
        return cls(
            *(GraphSession(bundle / graph, threads) for graph in graphs),
            Tokenizer.from_file(str(bundle / prompt["tokenizer"])),
            prompt_tokens=prompt["maxTokens"], image_tokens=rows * columns, codebook_size=generator["codebookSize"],
            code_temperature=1.0,
        )  # fmt: skip

    def paint(self, prompts: list[str], settings: SamplingSettings, seed: int) -> Tensor:
        """One picture per prompt, each in a style drawn for it: uint8 [R, H, W, 3]; a function of prompts, settings and seed.

        Raises:
            ValueError: the settings' code temperature is not the one in the graphs.
        """
        if settings.code_temperature != self._code_temperature:
            raise ValueError(
                f"these graphs have code temperature {self._code_temperature}, the settings ask for {settings.code_temperature}"
            )
        token_uniform, mask_uniform = (
            uniform.numpy() for uniform in random_uniforms(seed, settings, len(prompts), self._image_tokens)
        )
        prompts, pictures = drawn_styles(prompts, seed), []
        for start in range(0, len(prompts), _ROWS):
            rows = slice(start, start + _ROWS)
            codes = self._sample(prompts[rows], token_uniform[:, rows], mask_uniform[:, rows], settings)
            pictures.append(self._decode.run({"ids": codes})["image"])
        return torch.from_numpy(np.concatenate(pictures))

    def _sample(
        self, prompts: list[str], token_uniform: np.ndarray, mask_uniform: np.ndarray, settings: SamplingSettings
    ) -> np.ndarray:
        """Codes int64 [R, N] of finished pictures; uniforms float32 [steps, R, N]."""
        prompt_ids = encode_prompts(self._tokenizer, ["", *prompts], self._prompt_tokens)
        prefix_kv = self._prefix.run({"prompt_ids": prompt_ids})["prefix_kv"]
        trajectory = sample_trajectory(
            self._step, prefix_kv, np.arange(1, len(prompts) + 1), np.ascontiguousarray(token_uniform),
            np.ascontiguousarray(mask_uniform), settings, self._codebook_size,
        )  # fmt: skip
        return trajectory.predictions[-1]
