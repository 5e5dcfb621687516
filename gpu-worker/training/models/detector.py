"""The object detector that scores pictures (GenEval's metric) and labels ranking data.

It is trained on ground-truth scenes only and takes no part in choosing pictures at test time.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.residual_trunk import ResidualTrunk, TrunkConfig

# Logit of a prior of 1%: without it the first updates are spent on unlearning 50% objects everywhere.
HEAT_PRIOR = -4.6


@dataclass(frozen=True)
class DetectorConfig:
    """Shape of the detector.

    Attributes:
        image_size: height and width of the pictures in pixels; a multiple of the trunk's stride.
        class_count: object classes.
        color_count: colours.
        max_objects: objects returned per picture (K).
        channels, blocks: the trunk's stages (`TrunkConfig`).
    """

    image_size: int = 96
    class_count: int = 64
    color_count: int = 10
    max_objects: int = 16
    channels: tuple[int, ...] = (32, 64, 160)
    blocks: tuple[int, ...] = (0, 2, 3)

    @property
    def trunk(self) -> TrunkConfig:
        return TrunkConfig(self.channels, self.blocks)

    @property
    def cells(self) -> int:
        """Cells along one side of the output grid."""
        return self.image_size // self.trunk.stride


@dataclass(frozen=True)
class DetectorMaps:
    """Raw outputs on the grid of cells, float.

    Attributes:
        heat: class logits [B, classes, G, G]; a peak is an object's centre.
        extents: distances from the cell's centre to the box's left, top, right, bottom [B, 4, G, G], in cells.
        colors: colour logits [B, colors, G, G].
    """

    heat: Tensor
    extents: Tensor
    colors: Tensor


@dataclass(frozen=True)
class DetectorOutput:
    """The K highest peaks of each picture, highest first.

    Attributes:
        boxes: float32 [B, K, 4], x1, y1, x2, y2 in pixels.
        scores: float32 [B, K], 0..1; 0 where fewer than K peaks exist.
        labels: int64 [B, K], class index.
        colors: float32 [B, K, colors], probabilities.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    colors: Tensor


class Detector(nn.Module):
    """A centre-point detector: a heat map per class, with box extents and colour read at its peaks.

    Source: Zhou et al., Objects as Points (arXiv 1904.07850); box extents as in FCOS (arXiv 1904.01355).
    """

    def __init__(self, config: DetectorConfig):
        super().__init__()
        if config.image_size % config.trunk.stride:
            raise ValueError(f"image_size {config.image_size} is not a multiple of the stride {config.trunk.stride}")
        self.config = config
        self.trunk = ResidualTrunk(config.trunk)
        channels = config.trunk.channels[-1]
        self.heat = nn.Conv2d(channels, config.class_count, 1)
        self.extents = nn.Conv2d(channels, 4, 1)
        self.colors = nn.Conv2d(channels, config.color_count, 1)
        nn.init.constant_(self.heat.bias, HEAT_PRIOR)
        nn.init.normal_(self.heat.weight, std=0.01)

    def forward(self, images: Tensor) -> DetectorMaps:
        """Computes the maps of uint8 images [B, H, W, 3]."""
        features = self.trunk(images)
        return DetectorMaps(self.heat(features).float(), self.extents(features).float(), self.colors(features).float())

    @torch.inference_mode()
    def detect(self, images: Tensor) -> DetectorOutput:
        """Finds the objects of uint8 images [B, H, W, 3]; `export/detector_graph.py` does the same in ONNX."""
        return pick_peaks(self(images), self.config)


def pick_peaks(maps: DetectorMaps, config: DetectorConfig) -> DetectorOutput:
    """Keeps cells that are the highest of their 3x3 neighbourhood in their class, and of these the K highest."""
    heat = maps.heat.sigmoid()
    heat = heat * (heat == F.max_pool2d(heat, 3, stride=1, padding=1))
    cell_count = config.cells**2
    scores, index = heat.flatten(1).topk(config.max_objects, dim=1)  # [B, classes*G*G] -> [B, K]
    labels, cell = index // cell_count, index % cell_count
    extents = _gather_cells(maps.extents, cell)
    stride = config.trunk.stride
    center_x = (cell % config.cells + 0.5).unsqueeze(-1)
    center_y = (cell // config.cells + 0.5).unsqueeze(-1)
    left, top, right, bottom = extents.split(1, dim=-1)
    boxes = torch.cat([center_x - left, center_y - top, center_x + right, center_y + bottom], -1) * stride
    boxes = boxes.clamp(0, config.image_size)
    return DetectorOutput(boxes, scores, labels, _gather_cells(maps.colors, cell).softmax(-1))


def _gather_cells(values: Tensor, cell: Tensor) -> Tensor:
    """Reads [B, C, G, G] at flat cell indices [B, K]; returns [B, K, C]."""
    flat = values.flatten(2).transpose(1, 2)  # (B, G*G, C)
    return flat.gather(1, cell.unsqueeze(-1).expand(-1, -1, flat.shape[-1]))
