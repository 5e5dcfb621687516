"""Samples whole trajectories: every step's prediction, its picture, and what the detector finds in it.

`GraphPainter` runs the exported graphs, integer layers included, so its pictures are those that the engine shows.
`TorchPainter` is its PyTorch twin for a GPU; equal random numbers give equal pictures but for the rounding of integer layers.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from training.export.graphs.decode_graph import build_decode_graph
from training.export.graphs.detector_graph import build_detector_graph
from training.export.graphs.generator_graphs import build_prefix_graph, build_step_graph
from training.export.graphs.runtime import GraphSession
from training.loop.precision import mixed_precision
from training.models.detector import Detector, DetectorOutput
from training.models.generator import Generator
from training.models.quantizer import Quantizer
from training.sampling.graph_sampling import Trajectory, sample_trajectory
from training.sampling.mask_predict import SamplingSettings, sample
from training.world.tokenizer import unconditional_prompt


class Painter(Protocol):
    """Three stages of a picture; every method may be called from several threads."""

    def predict(self, prompt_ids: np.ndarray, row_prompt: np.ndarray, uniforms: tuple[Tensor, Tensor]) -> Trajectory:
        """Samples pictures.

        Args:
            prompt_ids: int64 [P, L].
            row_prompt: int64 [R], 0..P-1.
            uniforms: float32 [all steps, R, N] each, as `training.sampling.mask_predict.random_uniforms`.

        Returns:
            The paths, on the CPU.
        """

    def decode(self, ids: np.ndarray) -> np.ndarray:
        """int64 [R, N] to uint8 [R, H, W, 3]."""

    def detect(self, images: np.ndarray) -> DetectorOutput:
        """Objects in uint8 [R, H, W, 3]; tensors on the CPU."""


class GraphPainter:
    """The exported graphs in ONNX Runtime, one thread a call: threads that paint rows of their own never wait for each other."""

    def __init__(self, generator: Generator, quantizer: Quantizer, detector: Detector, settings: SamplingSettings):
        self._settings, self._config = settings, generator.config
        self._prefix = GraphSession(build_prefix_graph(generator), 1)
        self._step = GraphSession(build_step_graph(generator, code_temperature=settings.code_temperature), 1)
        self._decode = GraphSession(build_decode_graph(quantizer), 1)
        self._detect = GraphSession(build_detector_graph(detector), 1)

    def predict(self, prompt_ids: np.ndarray, row_prompt: np.ndarray, uniforms: tuple[Tensor, Tensor]) -> Trajectory:
        free = unconditional_prompt(self._config.max_prompt_tokens)
        prefix_kv = self._prefix.run({"prompt_ids": np.concatenate([free[None], prompt_ids])})["prefix_kv"]
        token_uniform, mask_uniform = (uniform.numpy() for uniform in uniforms)
        return sample_trajectory(
            self._step, prefix_kv, row_prompt + 1, token_uniform, mask_uniform, self._settings, self._config.codebook_size
        )

    def decode(self, ids: np.ndarray) -> np.ndarray:
        return self._decode.run({"ids": ids})["image"]

    def detect(self, images: np.ndarray) -> DetectorOutput:
        return DetectorOutput(**{name: torch.from_numpy(value) for name, value in self._detect.run({"image": images}).items()})


class TorchPainter:
    """The PyTorch models on a device, linear layers in bfloat16 where that is fast."""

    def __init__(
        self, generator: Generator, quantizer: Quantizer, detector: Detector, settings: SamplingSettings, device: torch.device
    ):
        self._settings, self._device = settings, device
        self._generator, self._quantizer, self._detector = (model.to(device) for model in (generator, quantizer, detector))

    @torch.inference_mode()
    def predict(self, prompt_ids: np.ndarray, row_prompt: np.ndarray, uniforms: tuple[Tensor, Tensor]) -> Trajectory:
        free = torch.from_numpy(unconditional_prompt(self._generator.config.max_prompt_tokens))
        inputs = (torch.from_numpy(prompt_ids), free, torch.from_numpy(row_prompt), *uniforms)
        with mixed_precision(self._device.type):
            sampled = sample(self._generator, *(value.to(self._device) for value in inputs), self._settings)
        return Trajectory(*(getattr(sampled, name).cpu().numpy() for name in ("tokens", "predictions", "coherence")))

    @torch.inference_mode()
    def decode(self, ids: np.ndarray) -> np.ndarray:
        with mixed_precision(self._device.type):
            return self._quantizer.decode(torch.from_numpy(ids).to(self._device)).cpu().numpy()

    def detect(self, images: np.ndarray) -> DetectorOutput:
        seen = self._detector.detect(torch.from_numpy(images).to(self._device))
        return DetectorOutput(*(getattr(seen, name).cpu() for name in ("boxes", "scores", "labels", "colors")))
