"""Trajectories of the generator, read by the detector: what verifiers learn from.

    python -m training.ranking_data --minutes 15 --out training/runs/ranking

Sampling uses the exported graphs, integer layers included, so the pictures are those that the engine will show.
"""

import argparse
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from training.budget import Budget
from training.checkpoint import load_weights
from training.export.decode_graph import build_decode_graph
from training.export.detector_graph import build_detector_graph
from training.export.generator_graphs import build_prefix_graph, build_step_graph
from training.export.runtime import GraphSession
from training.export.trajectory import sample_trajectory
from training.geneval_rules import DetectedObject, DetectionThresholds, is_correct, objects_of
from training.models.detector import Detector, DetectorConfig, DetectorOutput
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.sampling import SamplingSettings, random_uniforms
from training.tokenizer import build_tokenizer, encode_prompt, encode_prompts
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.spec import Spec
from training.world.world import World

_TRAINING_DIRECTORY = Path(__file__).parent
_ROWS = 16
# The first predictions are guesses from an empty grid; nobody would judge them.
_FIRST_RECORDED_STEP = 2
# Boxes of one object in two pictures overlap at least this much (intersection over union).
_SAME_PLACE = 0.5


@dataclass(frozen=True)
class RankingData:
    """n trajectories, S recorded steps each, K detections a picture.

    Attributes:
        specs: what was asked, n GenEval metadata dicts with `prompt`.
        steps: the recorded step indices, ascending; the last is the final step.
        step_count: steps of a whole run.
        images: uint8 [n, S, H, W, 3].
        objects: for each trajectory and recorded step, the detections.
    """

    specs: list[Spec]
    steps: tuple[int, ...]
    step_count: int
    images: np.ndarray
    objects: list[list[list[DetectedObject]]]

    def __len__(self) -> int:
        return len(self.specs)

    @classmethod
    def read(cls, folders: list[Path]) -> "RankingData":
        """Reads and joins the shards of several folders.

        Raises:
            ValueError: there are none, or they recorded different steps.
        """
        shards = [read_shard(path) for folder in folders for path in sorted(folder.glob("*.npz"))]
        if not shards:
            raise ValueError(f"no trajectories in {', '.join(map(str, folders))}; `python -m training.ranking_data` makes them")
        kinds = {(shard.steps, shard.step_count) for shard in shards}
        if len(kinds) > 1:
            raise ValueError(f"shards recorded different steps: {sorted(kinds)}")
        return cls(
            [spec for shard in shards for spec in shard.specs],
            shards[0].steps,
            shards[0].step_count,
            np.concatenate([shard.images for shard in shards]),
            [objects for shard in shards for objects in shard.objects],
        )


def is_settled(objects: list[DetectedObject], final: list[DetectedObject], threshold: float) -> bool:
    """Whether a picture already shows what the final one shows: the clarity label.

    True when the final picture shows something, and the objects of both match one to one in class and place.

    Args:
        objects: detections of the intermediate picture.
        final: detections of the final one.
        threshold: score above which a detection counts.
    """
    seen = [known for known in objects if known.score > threshold]
    expected = [known for known in final if known.score > threshold]
    if not expected or len(seen) != len(expected):
        return False
    for known in expected:
        match = next((o for o in seen if o.class_index == known.class_index and _overlap(o.box, known.box) >= _SAME_PLACE), None)
        if match is None:
            return False
        seen.remove(match)
    return True


def recorded_steps(step_count: int) -> tuple[int, ...]:
    """Steps whose pictures are kept, the last included."""
    return tuple(range(min(_FIRST_RECORDED_STEP, step_count - 1), step_count))


class TrajectorySampler:
    """Samples pictures for random specs and keeps what each step showed."""

    def __init__(
        self, world: World, tokenizer: Tokenizer, generator: Generator, quantizer: Quantizer, detector: Detector,
        sampling: SamplingSettings, threads: int,
    ):  # fmt: skip
        self._world, self._tokenizer, self._sampling = world, tokenizer, sampling
        self._config = generator.config
        self._prefix = GraphSession(build_prefix_graph(generator), threads)
        self._step = GraphSession(build_step_graph(generator, code_temperature=sampling.code_temperature), threads)
        self._decode = GraphSession(build_decode_graph(quantizer), threads)
        self._detect = GraphSession(build_detector_graph(detector), threads)
        self._unconditional = encode_prompt(tokenizer, "", self._config.max_prompt_tokens)

    def sample(self, rng: np.random.Generator, rows: int) -> RankingData:
        """Draws `rows` specs, all tasks equally often, and one trajectory for each."""
        specs = []
        for _ in range(rows):
            spec = self._world.sample_spec(rng, str(rng.choice(TASKS)))
            specs.append({**spec, "prompt": self._world.prompt(rng, spec)})
        prompt_ids = encode_prompts(self._tokenizer, [spec["prompt"] for spec in specs], self._config.max_prompt_tokens)
        prefix_kv = self._prefix.run({"prompt_ids": np.concatenate([self._unconditional[None], prompt_ids])})["prefix_kv"]
        uniforms = random_uniforms(int(rng.integers(2**62)), self._sampling, rows, self._config.image_tokens)
        trajectory = sample_trajectory(
            self._step, prefix_kv, np.arange(1, rows + 1), *(uniform.numpy() for uniform in uniforms), self._sampling,
            self._config.codebook_size,
        )  # fmt: skip
        steps = recorded_steps(self._sampling.steps)
        images = [self._decode.run({"ids": trajectory.predictions[step]})["image"] for step in steps]
        seen = [objects_of(_as_output(self._detect.run({"image": image}))) for image in images]  # [S][rows]
        objects = [[step_objects[row] for step_objects in seen] for row in range(rows)]
        return RankingData(specs, steps, self._sampling.steps, np.stack(images, axis=1), objects)


def write_shard(data: RankingData, path: Path) -> None:
    """Writes trajectories so that a killed process leaves whole shards only."""
    meta = {
        "specs": data.specs, "steps": data.steps, "stepCount": data.step_count,
        "objects": [[[[o.class_index, o.score, o.color, o.box] for o in step] for step in row] for row in data.objects],
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, images=data.images, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8))
    partial.rename(path)


def read_shard(path: Path) -> RankingData:
    """Reads what `write_shard` wrote."""
    with np.load(path) as shard:
        images, meta = shard["images"], json.loads(shard["meta"].tobytes())
    objects = [[[DetectedObject(c, s, k, tuple(b)) for c, s, k, b in step] for step in row] for row in meta["objects"]]
    return RankingData(meta["specs"], tuple(meta["steps"]), meta["stepCount"], images, objects)


def _as_output(arrays: dict[str, np.ndarray]) -> DetectorOutput:
    return DetectorOutput(**{name: torch.from_numpy(value) for name, value in arrays.items()})


def _overlap(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=_TRAINING_DIRECTORY / "configs/emoji-96.toml")
    parser.add_argument("--settings", type=Path, default=_TRAINING_DIRECTORY / "configs/bundle.toml")
    parser.add_argument("--generator", type=Path, default=_TRAINING_DIRECTORY / "weights/generator.pt")
    parser.add_argument("--quantizer", type=Path, default=_TRAINING_DIRECTORY / "weights/quantizer.pt")
    parser.add_argument("--detector", type=Path, default=_TRAINING_DIRECTORY / "weights/detector.pt")
    parser.add_argument("--out", type=Path, default=_TRAINING_DIRECTORY / "runs/ranking")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="trajectories of equal seeds are equal")
    arguments = parser.parse_args()

    settings = tomllib.loads(arguments.settings.read_text())
    sampled, thresholds = settings["generator"], DetectionThresholds(**settings["detector"]["thresholds"])
    sampler = TrajectorySampler(
        World(WorldConfig.from_toml(arguments.config)),
        build_tokenizer(),
        load_weights(arguments.generator, Generator, GeneratorConfig),
        load_weights(arguments.quantizer, Quantizer, QuantizerConfig),
        load_weights(arguments.detector, Detector, DetectorConfig),
        SamplingSettings(**sampled["defaults"], code_temperature=sampled["code_temperature"]),
        arguments.threads,
    )
    budget, batch, good = Budget(minutes=arguments.minutes), 0, []
    while budget.progress(batch) < 1:
        data = sampler.sample(np.random.default_rng((arguments.seed, batch)), _ROWS)
        write_shard(data, arguments.out / f"{arguments.seed:03d}-{batch:05d}.npz")
        good += [is_correct(row[-1], spec, thresholds) for row, spec in zip(data.objects, data.specs, strict=True)]
        batch += 1
        if batch % 10 == 0:
            line = {"trajectories": len(good), "minutes": round(budget.elapsed_seconds() / 60, 2), "correct": np.mean(good)}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
