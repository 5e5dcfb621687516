"""Small verifiers, pictures and trajectories made by hand."""

import numpy as np
import torch

from training.data.ranking_shards import Detections, RankingData
from training.models.detector import DetectorOutput
from training.models.verifier import Verifier, VerifierConfig
from training.world.classes import CLASS_INDEX, COLORS
from training.world.geneval_rules import DetectedObject
from training.world.tokenizer import PAD, build_tokenizer, encode_prompts

TOKENIZER = build_tokenizer()
TINY = VerifierConfig(TOKENIZER.get_vocab_size(), pad_id=PAD, channels=(8, 16, 16), blocks=(0, 0, 1), width=32, heads=2, layers=1)
LEFT, RIGHT = (8.0, 32.0, 40.0, 64.0), (56.0, 32.0, 88.0, 64.0)
DETECTIONS = 4


def make_verifier() -> Verifier:
    """Freshly initialised."""
    torch.manual_seed(0)
    return Verifier(TINY)


def drawn_verifier() -> Verifier:
    """Every weight drawn, so that nothing is silent and every answer depends on everything; evaluation mode."""
    model = make_verifier()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5 if weight.ndim == 4 else 0.3)
    torch.nn.init.normal_(model.head.weight, std=2.0)
    torch.nn.init.zeros_(model.head.bias)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    model.eval()
    prompt_ids = torch.from_numpy(encode_prompts(TOKENIZER, ["a photo of a cat", "two red dogs", "a cup"]))
    with torch.no_grad():
        # Sigmoids near 0 or 1 would hide what moves an answer.
        model.head.bias -= model.logits(random_images(3), prompt_ids).mean(0)
    return model


def random_images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 96, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


def seen(name="cat", box=LEFT, score=0.9, color="red") -> DetectedObject:
    return DetectedObject(CLASS_INDEX[name], score, color, box)


def output_of(pictures: list[list[DetectedObject]]) -> DetectorOutput:
    """What a detector returns that sees these objects."""
    boxes = torch.zeros(len(pictures), DETECTIONS, 4)
    scores, labels = torch.zeros(len(pictures), DETECTIONS), torch.zeros(len(pictures), DETECTIONS, dtype=torch.int64)
    colors = torch.zeros(len(pictures), DETECTIONS, len(COLORS))
    for row, objects in enumerate(pictures):
        for place, known in enumerate(objects):
            boxes[row, place], scores[row, place] = torch.tensor(known.box), known.score
            labels[row, place] = known.class_index
            colors[row, place, COLORS.index(known.color)] = 1.0
    return DetectorOutput(boxes, scores, labels, colors)


def trajectories(
    specs: list[dict], paths: list[list[list[DetectedObject]]], source: str = "a", whole: np.ndarray | None = None
) -> RankingData:
    """One trajectory a path, whose steps, the last ones of six, show these objects; codes are the trajectory's number.

    Pictures are whole unless `whole` bool [n, S] says otherwise; coherence is -1 of the first path, -2 of the second and so on.
    """
    steps = tuple(range(6 - len(paths[0]), 6))
    detections = Detections.of([output_of([path[place] for path in paths]) for place in range(len(steps))])
    codes = np.broadcast_to(np.arange(len(paths), dtype=np.uint16)[:, None, None], (len(paths), len(steps), 64))
    whole = np.ones(codes.shape[:2], bool) if whole is None else np.asarray(whole)
    coherence = np.broadcast_to(-1 - np.arange(len(paths), dtype=np.float32)[:, None], codes.shape[:2])
    return RankingData(source, specs, steps, 6, codes.copy(), detections, whole, coherence.copy())
