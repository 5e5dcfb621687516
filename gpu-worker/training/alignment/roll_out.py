"""Samples pictures of a generator, with their paths and strict verdicts: `python -m training.alignment.roll_out`.

What alignment learns from. Prompts are of facts that the generator was trained on and that nothing is measured by.
Interrupted runs go on where they stopped: file i of a seed is a function of seed, i and the models.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from training.alignment.rollouts import Rollouts
from training.folders import CONFIGS, RUNS, WEIGHTS
from training.loop.checkpoint import load_weights
from training.models.detector import Detector, DetectorConfig
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.sampling.mask_predict import SamplingSettings, random_uniforms
from training.sampling.ranking_data import sampling_of, source_of
from training.sampling.trajectory_sampler import GraphPainter, Painter, TorchPainter
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.fact_splits import split_of
from training.world.prompts import drawn_style
from training.world.spec import Spec
from training.world.tokenizer import build_tokenizer, encode_prompts
from training.world.world import World
from training.yardstick.strict_yardstick import StrictYardstick, load_yardstick

# Rows that are sampled together on a CPU; more do not make a row cheaper.
_CPU_ROWS, _CUDA_ROWS = 16, 512
# Relative frequency of prompts in the order of `TASKS`: most where the generator errs most.
_TASK_WEIGHTS = (0.08, 0.17, 0.25, 0.17, 0.08, 0.25)


class RolloutSampler:
    """Draws prompts, paints several pictures of each, and judges them."""

    def __init__(
        self, world: World, painter: Painter, yardstick: StrictYardstick, settings: SamplingSettings, *,
        grid_tokens: int, source: str, per_prompt: int = 12,
    ):  # fmt: skip
        """
        Args:
            world: where specs and prompts come from.
            painter: makes the pictures.
            yardstick: judges them.
            settings: of the painter.
            grid_tokens: N of the generator.
            source: identifies weights and settings.
            per_prompt: pictures of each prompt, at least 1.
        """
        self._world, self._painter, self._yardstick, self._settings = world, painter, yardstick, settings
        self._grid_tokens, self._source, self._per_prompt = grid_tokens, source, per_prompt
        self._tokenizer = build_tokenizer()

    def sample(self, rng: np.random.Generator, prompts: int, rows: int) -> Rollouts:
        """`per_prompt` pictures of each of so many new prompts, at most `rows` at a time; a function of `rng`'s state only."""
        specs = [spec for spec in (self._draw(rng) for _ in range(prompts)) for _ in range(self._per_prompt)]
        styled = [drawn_style(rng, spec["prompt"]) for spec in specs]
        seed = int(rng.integers(2**62))
        starts = range(0, len(specs), rows)
        return Rollouts.joined(
            [self.of_prompts(specs[start : start + rows], styled[start : start + rows], (seed, start)) for start in starts]
        )

    def of_prompts(self, specs: list[Spec], styled: list[str], seed: int | tuple[int, ...]) -> Rollouts:
        """One picture of each spec.

        Args:
            specs: R of them, with `prompt`.
            styled: R prompts, the words of a style before each.
            seed: of the paths' random numbers.
        """
        ids = encode_prompts(self._tokenizer, styled)
        uniforms = random_uniforms(seed, self._settings, len(specs), self._grid_tokens)
        path = self._painter.predict(ids, np.arange(len(specs)), uniforms)
        codes = path.predictions[-1]
        found = self._yardstick.judge(self._painter.decode(codes), specs)
        composed = np.where(found.right[:, None], codes, found.composition.grids)
        tokens = path.tokens.transpose(1, 0, 2).astype(np.uint16)
        arrays = (ids.astype(np.uint8), tokens, codes.astype(np.uint16), composed.astype(np.uint16))
        fulfils = found.right | found.composition.fulfils
        return Rollouts(self._source, specs, found.faults, *arrays, found.right, found.geneval, fulfils)

    def _draw(self, rng: np.random.Generator) -> Spec:
        while True:
            spec = self._world.sample_spec(rng, str(rng.choice(TASKS, p=_TASK_WEIGHTS)))
            spec = {**spec, "prompt": self._world.prompt(rng, spec)}
            if split_of(spec) == "train":
                return spec


def load_sampler(
    generator: Path, weights: Path = WEIGHTS, config: Path = CONFIGS / "emoji-96.toml",
    settings: Path = CONFIGS / "bundle.toml", device: str = "cpu", per_prompt: int = 12,
) -> RolloutSampler:  # fmt: skip
    """The sampler of a generator's file: exported graphs on a CPU, PyTorch on a GPU.

    Args:
        generator: file of weights.
        weights: folder of quantiser, detector and fault finder.
        config: the world.
        settings: a bundle's, for sampling and thresholds.
        device: "cpu" or "cuda".
        per_prompt: as `RolloutSampler`.
    """
    sampling = sampling_of(settings)
    kinds = ((Generator, GeneratorConfig), (Quantizer, QuantizerConfig), (Detector, DetectorConfig))
    files = [generator, weights / "quantizer.pt", weights / "detector.pt"]
    models = [load_weights(path, *kind) for path, kind in zip(files, kinds, strict=True)]
    painter = GraphPainter(*models, sampling) if device == "cpu" else TorchPainter(*models, sampling, torch.device(device))
    yardstick = load_yardstick(weights / "detector.pt", weights / "faults.pt", weights / "quantizer.pt", config, settings)
    world = World(WorldConfig.from_toml(config))
    source, count = source_of(files, sampling), models[0].config.image_tokens
    return RolloutSampler(world, painter, yardstick, sampling, grid_tokens=count, source=source, per_prompt=per_prompt)


def write_rollouts(sampler: RolloutSampler, out: Path, *, seed: int, prompts: int, rows: int, files: int) -> Rollouts:
    """Writes the files 0..files-1 of a seed that are not there yet, `prompts` prompts each, and reads all of the folder."""
    for index in range(files):
        path = out / f"{seed:03d}-{index:05d}.npz"
        if not path.exists():
            sampler.sample(np.random.default_rng((seed, index)), prompts, rows).write(path)
    return Rollouts.read(out)


def summary(rollouts: Rollouts) -> dict[str, dict]:
    """Of each task: how many pictures, the share that is right, and what is wrong with how many of the others."""
    tasks = np.array([spec["tag"] for spec in rollouts.specs])
    found: dict[str, dict] = {}
    for task in TASKS:
        rows = np.flatnonzero(tasks == task)
        if len(rows):
            faults = Counter(rollouts.shown[row] for row in rows if not rollouts.right[row])
            found[task] = {"pictures": len(rows), "right": round(float(rollouts.right[rows].mean()), 3), "faults": dict(faults)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", type=Path, default=WEIGHTS / "generator.pt")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the other models (%(default)s)")
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml")
    parser.add_argument("--out", type=Path, default=RUNS / "rollouts")
    parser.add_argument("--files", type=int, default=10, help="of 20 prompts each (%(default)s)")
    parser.add_argument("--per-prompt", type=int, default=12, help="pictures of each prompt (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    arguments = parser.parse_args()
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    sampler = load_sampler(
        arguments.generator, arguments.weights, arguments.config, arguments.settings, device, arguments.per_prompt
    )
    rows = _CPU_ROWS if device == "cpu" else _CUDA_ROWS
    rollouts = write_rollouts(sampler, arguments.out, seed=arguments.seed, prompts=20, rows=rows, files=arguments.files)
    print(json.dumps({"pictures": len(rollouts), "prompts": len(rollouts.groups), **summary(rollouts)}, indent=1))


if __name__ == "__main__":
    main()
