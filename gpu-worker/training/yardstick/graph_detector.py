"""`detector.onnx` in the place of the PyTorch detector."""

from pathlib import Path

import onnx
import torch
from torch import Tensor

from training.export.graphs.runtime import GraphSession
from training.models.detector import DetectorOutput


class GraphDetector:
    """What is shipped, with the signature of `Detector.detect`."""

    def __init__(self, graph: onnx.ModelProto | Path, threads: int):
        self._session = GraphSession(graph, threads)

    def detect(self, images: Tensor) -> DetectorOutput:
        """Finds the objects of uint8 images [B, H, W, 3]."""
        return self.look(images)[0]

    def look(self, images: Tensor) -> tuple[DetectorOutput, Tensor | None]:
        """Objects, and with a fault finder in the graph the probability of a fault in each patch, float32 [B, grid, grid]."""
        found = {name: torch.from_numpy(value) for name, value in self._session.run({"image": images.numpy()}).items()}
        faults = found.pop("faults", None)
        return DetectorOutput(**found), faults
