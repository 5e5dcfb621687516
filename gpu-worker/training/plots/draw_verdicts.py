"""Draws what a verifier thinks while pictures are made: `python -m training.plots.draw_verdicts`.

Each line of `figures/verdicts.png` is one path of the test split, good ones first. The numbers under a picture are clarity,
potential and alignment in percent; the last column says whether the path ends right, by the strict verdict.
"""

import argparse
import tomllib
from pathlib import Path

import numpy as np
import torch

from training.data.ranking_shards import RankingData
from training.folders import CONFIGS, FIGURES, RUNS, WEIGHTS
from training.loop.checkpoint import load_weights
from training.models.quantizer import Quantizer, QuantizerConfig
from training.models.verifier import Verifier, VerifierConfig
from training.plots.pictures import save_grid
from training.verifiers.coherence import right_in_the_end
from training.world.geneval_rules import DetectionThresholds
from training.world.tokenizer import build_tokenizer, encode_prompts

_COLUMNS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml")
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "parm.pt")
    parser.add_argument("--quantizer", type=Path, default=WEIGHTS / "quantizer.pt")
    parser.add_argument("--trajectories", type=Path, default=RUNS / "ranking")
    parser.add_argument("--paths", type=int, default=8, help="lines; half of them end badly")
    parser.add_argument("--out", type=Path, default=FIGURES / "verdicts.png")
    arguments = parser.parse_args()

    thresholds = DetectionThresholds(**tomllib.loads(arguments.settings.read_text())["detector"]["thresholds"])
    model, tokenizer = load_weights(arguments.weights, Verifier, VerifierConfig), build_tokenizer()
    quantizer = load_weights(arguments.quantizer, Quantizer, QuantizerConfig)
    data = RankingData.read(arguments.trajectories, "test")
    places = np.linspace(0, len(data.steps) - 1, _COLUMNS).round().astype(int)
    right = right_in_the_end(data, thresholds)
    half = arguments.paths // 2
    rows = [*np.flatnonzero(right)[: arguments.paths - half], *np.flatnonzero(~right)[:half]]
    images, captions = [], []
    for row in rows:
        prompt = data.specs[row]["prompt"]
        prompt_ids = torch.from_numpy(encode_prompts(tokenizer, [prompt] * len(places)))
        with torch.inference_mode():
            shown = quantizer.decode(torch.from_numpy(data.codes[row, places].astype(np.int64)))
            answers = model(shown, prompt_ids).numpy()
        images.append(shown.numpy())
        captions += [" ".join(f"{100 * value:.0f}" for value in answer) for answer in answers]
        captions[-1] += " right" if right[row] else " wrong"
        captions[-_COLUMNS] = prompt.removeprefix("a photo of ")
    save_grid(arguments.out, np.concatenate(images), _COLUMNS, captions, scale=2)


if __name__ == "__main__":
    main()
