"""What a quantiser's codes make of a scene: the best picture that a generator of such codes can draw of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data.scene_codes import SceneCodes
from training.export.graphs.decode_graph import build_decode_graph
from training.export.graphs.runtime import GraphSession
from training.loop.checkpoint import load_weights
from training.loop.precision import mixed_precision
from training.models.quantizer import Quantizer, QuantizerConfig
from training.world.scene import Scene
from training.world.world import World

# Decodes int64 [B, N] codes to uint8 [B, H, W, 3] pictures.
Decoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CodedScenes:
    """Scenes that a quantiser has codes for.

    Attributes:
        world: of the quantiser's own drawings, sizes and lattice; it has no codes for others.
        reconstruct: B scenes of that world to uint8 [B, H, W, 3], what their codes show.
    """

    world: World
    reconstruct: Callable[[Sequence[Scene]], Tensor]


def coded_scenes(quantizer: Quantizer, world: World, decode: Decoder, *, encode_ahead: bool = False) -> CodedScenes:
    """Scenes of `world` in the codes of `quantizer`, on the CPU.

    Args:
        quantizer: has the codes.
        world: of the quantiser's own drawings, sizes and lattice.
        decode: shows codes: the quantiser's own decoder, or its exported graph.
        encode_ahead: encodes all drawings now (half a minute), for processes forked later to share instead of each its own.
    """
    codes = SceneCodes(world, quantizer)
    if encode_ahead:
        codes.encode_all()

    def reconstruct(scenes: Sequence[Scene]) -> Tensor:
        grids = np.stack([codes.grid(scene.objects, scene.background).ravel() for scene in scenes])
        with torch.inference_mode():
            return decode(torch.from_numpy(grids))

    return CodedScenes(world, reconstruct)


def exported_decoder(quantizer: Quantizer, threads: int = 1) -> Decoder:
    """`quantizer.decode` as it is served, on the CPU: its graph takes a third of PyTorch's time.

    Not for processes that are forked later: the session's threads would not be there.
    """
    return session_decoder(GraphSession(build_decode_graph(quantizer), threads))


def session_decoder(session: GraphSession) -> Decoder:
    """A decode graph as a decoder."""
    return lambda codes: torch.from_numpy(session.run({"ids": codes.numpy()})["image"])


def load_coded_scenes(weights: Path | None, world: World) -> CodedScenes | None:
    """Scenes of `world` through the quantiser of a file of weights, on the CPU; None without a path."""
    if weights is None:
        return None
    quantizer = load_weights(weights, Quantizer, QuantizerConfig)

    def decode(codes: Tensor) -> Tensor:
        with mixed_precision():
            return quantizer.decode(codes)

    return coded_scenes(quantizer, world, decode)
