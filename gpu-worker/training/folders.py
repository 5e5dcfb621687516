"""Where this package's files lie: read from here by every command's defaults.

`RUNS` is written by trainings and not committed; all others are.
"""

from pathlib import Path

TRAINING = Path(__file__).parent
ATLAS = TRAINING / "atlas"
CONFIGS = TRAINING / "configs"
FIGURES = TRAINING / "figures"
RUNS = TRAINING / "runs"
WEIGHTS = TRAINING / "weights"
BUNDLES = TRAINING.parent / "bundles"
EVALUATION = TRAINING.parent / "evaluation"
