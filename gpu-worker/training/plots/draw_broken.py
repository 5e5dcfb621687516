"""Draws pictures as the generator breaks them: `python -m training.plots.draw_broken`.

The detector learns from them what a broken picture looks like (`train_detector --broken`). Two kinds, in one file:

- **refilled**: a composed scene of which the generator fills in a part at once, every code without knowing the others. The scene
  says which patches are wrong.
- **unfinished**: what the generator takes the whole picture to be after each of the first steps, when most of it is unknown.
  They are broken nearly always; which patches are, nobody says.
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import torch

from training.data.scene_codes import SceneCodes
from training.data.token_scenes import TokenScenes
from training.folders import CONFIGS, RUNS, WEIGHTS
from training.loop.checkpoint import load_weights
from training.loop.precision import mixed_precision
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.sampling.mask_predict import SamplingSettings, random_uniforms, sample
from training.world.config import WorldConfig
from training.world.tokenizer import build_tokenizer, unconditional_prompt
from training.world.world import World

_ROWS = 32
# Of the steps of a path the first so many count as unfinished.
_UNFINISHED = 5
# Shares of a scene that are filled in anew.
_LEAST, _MOST = 0.15, 0.75


class BrokenPictures:
    """Draws broken pictures of a generator; a function of the seeds it is given."""

    def __init__(self, scenes: TokenScenes, generator: Generator, settings: SamplingSettings):
        self._scenes, self._generator, self._settings = scenes, generator, settings

    @torch.no_grad()
    def refilled(self, seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Codes int64 [rows, N] of scenes that were filled in, and those of the scenes as composed."""
        rng = np.random.default_rng((seed, 0))
        scenes = self._scenes.batch(rng, rows)
        truth, config = torch.from_numpy(scenes.codes), self._generator.config
        # Emptied background teaches little: objects are filled in more often than it.
        share = rng.uniform(_LEAST, _MOST, (rows, 1)) * np.where(scenes.on_object, 1, 0.5)
        unknown = torch.from_numpy(rng.random(truth.shape) < share)
        tokens = truth.masked_fill(unknown, config.codebook_size)
        with mixed_precision():
            prefix = self._generator.prefix(torch.from_numpy(scenes.prompt_ids))
            places = unknown.flatten().nonzero().flatten()
            states = self._generator.hidden(tokens, prefix, torch.from_numpy(scenes.row_prompt), places)
            logits = self._generator.logits(states)
        probability = (logits.float() / self._settings.code_temperature).softmax(-1)
        drawn = torch.from_numpy(rng.random((len(places), 1), dtype=np.float32))
        filled = torch.searchsorted(probability.cumsum(-1), drawn).clamp(max=config.codebook_size - 1)
        codes = truth.clone()
        codes[unknown] = filled.squeeze(-1)
        return codes.numpy(), truth.numpy()

    def unfinished(self, seed: int, rows: int) -> np.ndarray:
        """Codes int64 [rows * steps, N] of the first predictions of `rows` paths."""
        prompts = torch.from_numpy(self._scenes.batch(np.random.default_rng((seed, 1)), rows).prompt_ids)
        config = self._generator.config
        free = torch.from_numpy(unconditional_prompt(config.max_prompt_tokens))
        uniforms = random_uniforms(seed, self._settings, rows, config.image_tokens)
        with mixed_precision():
            sampled = sample(self._generator, prompts, free, torch.arange(rows), *uniforms, self._settings, _UNFINISHED)
        return sampled.predictions.flatten(0, 1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml", help="how the generator samples")
    parser.add_argument("--generator", type=Path, default=WEIGHTS / "generator.pt")
    parser.add_argument("--quantizer", type=Path, default=WEIGHTS / "quantizer.pt")
    parser.add_argument("--refilled", type=int, default=4096, help="scenes to fill in (%(default)s)")
    parser.add_argument("--paths", type=int, default=512, help="paths whose first predictions are kept (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RUNS / "broken.npz", help="file to write (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = load_weights(arguments.generator, Generator, GeneratorConfig)
    quantizer = load_weights(arguments.quantizer, Quantizer, QuantizerConfig)
    world = World(WorldConfig.from_toml(arguments.config))
    settings = SamplingSettings.of_bundle(tomllib.loads(arguments.settings.read_text()))
    broken = BrokenPictures(TokenScenes(world, SceneCodes(world, quantizer), build_tokenizer()), generator, settings)
    seeds = np.random.default_rng(arguments.seed)
    filled = [broken.refilled(int(seeds.integers(2**31)), _ROWS) for _ in range(-(-arguments.refilled // _ROWS))]
    unfinished = [broken.unfinished(int(seeds.integers(2**31)), _ROWS) for _ in range(-(-arguments.paths // _ROWS))]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        arguments.out,
        refilled=np.concatenate([codes for codes, _ in filled]).astype(np.uint16),
        composed=np.concatenate([truth for _, truth in filled]).astype(np.uint16),
        unfinished=np.concatenate(unfinished).astype(np.uint16),
    )
    print(arguments.out, sum(len(codes) for codes, _ in filled), sum(map(len, unfinished)))


if __name__ == "__main__":
    main()
