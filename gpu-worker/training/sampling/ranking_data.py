"""Samples trajectories of the generator, read by the detector: what verifiers learn from and are measured on.

    python -m training.sampling.ranking_data --minutes 20

Prompts follow the paper's recipe: objects with colours through GenEval's six templates, none that is scored, several pictures of
each. Interrupted runs go on where they stopped: shard i of a seed is a function of seed, i and the models.
"""

import argparse
import hashlib
import itertools
import json
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from training.data.ranking_shards import Detections, RankingData, read_shard, write_shard
from training.folders import CONFIGS, RUNS, WEIGHTS
from training.loop.budget import Budget
from training.loop.checkpoint import load_weights
from training.models.detector import Detector, DetectorConfig
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.sampling.mask_predict import SamplingSettings, random_uniforms
from training.sampling.trajectory_sampler import GraphPainter, Painter, TorchPainter
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.fact_splits import SPLITS, split_of
from training.world.geneval_rules import DetectionThresholds
from training.world.prompts import drawn_style
from training.world.spec import Spec
from training.world.tokenizer import build_tokenizer, encode_prompts
from training.world.world import World
from training.yardstick.matcher import load_matcher
from training.yardstick.wholeness import Wholeness

# Rows that are sampled together on a CPU; more do not make a row cheaper.
_CPU_ROWS, _CUDA_ROWS = 16, 512


@dataclass(frozen=True)
class RankingConfig:
    """`configs/ranking.toml`.

    Attributes:
        pictures_per_prompt: at least 1.
        task_weights: relative frequency of prompts of each task in `TASKS` order.
        first_step: the first step whose picture is kept. All later ones are, but of the corrections only the last.
    """

    pictures_per_prompt: int
    task_weights: tuple[float, ...]
    first_step: int

    def __post_init__(self) -> None:
        if self.pictures_per_prompt < 1:
            raise ValueError(f"pictures_per_prompt is {self.pictures_per_prompt}; it must be at least 1")
        if len(self.task_weights) != len(TASKS):
            raise ValueError(f"task_weights needs {len(TASKS)} numbers in the order {TASKS}, got {list(self.task_weights)}")

    @classmethod
    def from_toml(cls, path: Path) -> "RankingConfig":
        table = tomllib.loads(path.read_text())["ranking"]
        return cls(table["pictures_per_prompt"], tuple(table["task_weights"]), table["first_step"])

    def recorded_steps(self, settings: SamplingSettings) -> tuple[int, ...]:
        """Steps whose pictures are kept, the last included."""
        first = range(min(self.first_step, settings.steps - 1), settings.steps)
        return (*first, settings.all_steps - 1) if settings.corrections else tuple(first)


class TrajectorySampler:
    """Samples shards of pictures for random specs and keeps what each step showed."""

    def __init__(
        self, world: World, painter: Painter, wholeness: Wholeness, settings: SamplingSettings, config: RankingConfig,
        token_count: int, source: str, splits: Sequence[str] = SPLITS,
    ):  # fmt: skip
        """
        Args:
            world: where specs and prompts come from.
            painter: makes the pictures.
            wholeness: tells which of them are whole.
            settings: steps, guidance and temperature of the painter.
            config: how many of what.
            token_count: N of the generator.
            source: identifies models and settings (`source_of`).
            splits: of `fact_splits.SPLITS`, those whose prompts are drawn.
        """
        self._splits = frozenset(splits)
        self._world, self._painter, self._wholeness, self._settings, self._config = world, painter, wholeness, settings, config
        self._token_count, self.source, self._tokenizer = token_count, source, build_tokenizer()

    def sample(self, rng: np.random.Generator, rows: int) -> RankingData:
        """`rows` trajectories, `pictures_per_prompt` of each prompt in styles of their own; a function of `rng`'s state only."""
        repeats = self._config.pictures_per_prompt
        prompts = [self._draw(rng) for _ in range(-(-rows // repeats))]
        row_prompt = np.arange(rows) // repeats
        specs = [prompts[index] for index in row_prompt]
        styled_ids = encode_prompts(self._tokenizer, [drawn_style(rng, spec["prompt"]) for spec in specs])
        uniforms = random_uniforms(int(rng.integers(2**62)), self._settings, rows, self._token_count)
        painted = self._painter.predict(styled_ids, np.arange(rows), uniforms)
        predictions, coherence = painted.predictions, painted.coherence
        steps = list(self._config.recorded_steps(self._settings))
        pictures = [self._painter.decode(predictions[step]) for step in steps]
        seen = [self._painter.detect(images) for images in pictures]
        codes = np.stack([predictions[step] for step in steps], axis=1).astype(np.uint16)
        whole = np.stack([self._wholeness.of(images, specs) for images in pictures], axis=1)
        of_steps = (codes, Detections.of(seen), whole, coherence[steps].T)
        return RankingData(self.source, specs, tuple(steps), self._settings.all_steps, *of_steps)

    def _draw(self, rng: np.random.Generator) -> Spec:
        weights = np.asarray(self._config.task_weights)
        while True:
            spec = self._world.sample_spec(rng, str(rng.choice(TASKS, p=weights / weights.sum())))
            spec = {**spec, "prompt": self._world.prompt(rng, spec)}
            if split_of(spec) in self._splits:
                return spec


def released_files(weights: Path) -> list[Path]:
    """The weights in a folder that decide what a trajectory is: generator, quantiser, detector."""
    return [weights / f"{name}.pt" for name in ("generator", "quantizer", "detector")]


def sampling_of(settings: Path) -> SamplingSettings:
    """Sampling defaults of `configs/bundle.toml`."""
    return SamplingSettings.of_bundle(tomllib.loads(settings.read_text()))


def source_of(weights: list[Path], settings: SamplingSettings) -> str:
    """Hash of weight files and sampling settings: trajectories of different ones must not be mixed."""
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    for path in weights:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_missing_shards(sampler: TrajectorySampler, out: Path, *, seed: int, rows: int, budget: Budget, threads: int) -> None:
    """Samples shards 0, 1, 2, ... that are not there yet, `threads` at a time, until the budget of minutes or shards is spent.

    Raises:
        ValueError: the folder holds shards of other models or settings.
    """
    for path in sorted(out.glob("*.npz"))[:1]:
        if read_shard(path).source != sampler.source:
            raise ValueError(f"{out} holds trajectories of other weights or settings; empty it or give another --out")
    torch.set_num_threads(1)

    def work(thread: int) -> None:
        for index in itertools.count(thread, threads):
            if budget.progress(index) >= 1:
                return
            path = shard_path(out, seed, index)
            if not path.exists():
                write_shard(sampler.sample(np.random.default_rng((seed, index)), rows), path)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def shard_path(out: Path, seed: int, index: int) -> Path:
    """File of the index-th shard of a seed."""
    return out / f"{seed:03d}-{index:06d}.npz"


def share_correct(data: RankingData, thresholds: DetectionThresholds) -> dict[str, float]:
    """Share of final pictures that satisfy their prompt and are whole, of each task."""
    verdicts: dict[str, list[bool]] = {}
    for row, spec in enumerate(data.specs):
        verdicts.setdefault(spec["tag"], []).append(data.is_right(row, -1, spec, thresholds))
    return {task: round(float(np.mean(verdicts[task])), 3) for task in TASKS if task in verdicts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--ranking", type=Path, default=CONFIGS / "ranking.toml")
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=RUNS / "ranking")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--trajectories", type=int, help="stop at this many instead")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="whose prompts are drawn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    arguments = parser.parse_args()

    sampling = sampling_of(arguments.settings)
    files = released_files(arguments.weights)
    kinds = ((Generator, GeneratorConfig), (Quantizer, QuantizerConfig), (Detector, DetectorConfig))
    models = [load_weights(path, *kind) for path, kind in zip(files, kinds, strict=True)]
    is_cuda = arguments.device == "cuda" or (arguments.device == "auto" and torch.cuda.is_available())
    painter = TorchPainter(*models, sampling, torch.device("cuda")) if is_cuda else GraphPainter(*models, sampling)
    world, config = World(WorldConfig.from_toml(arguments.config)), RankingConfig.from_toml(arguments.ranking)
    source = source_of(files, sampling)
    wholeness = Wholeness(load_matcher(arguments.weights / "quantizer.pt", arguments.config))
    token_count = models[0].config.image_tokens
    sampler = TrajectorySampler(world, painter, wholeness, sampling, config, token_count, source, arguments.splits)
    rows = _CUDA_ROWS if is_cuda else _CPU_ROWS
    if arguments.trajectories is None:
        budget = Budget(minutes=arguments.minutes)
    else:
        budget = Budget(steps=-(-arguments.trajectories // rows))
    write_missing_shards(sampler, arguments.out, seed=arguments.seed, rows=rows, budget=budget, threads=arguments.threads)

    thresholds = DetectionThresholds.from_toml(arguments.settings)
    for split in arguments.splits:
        data = RankingData.read(arguments.out, split)
        sizes = {"split": split, "trajectories": len(data), "prompts": len(data.siblings)}
        print(json.dumps({**sizes, "correct": share_correct(data, thresholds)}))


if __name__ == "__main__":
    main()
