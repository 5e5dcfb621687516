"""Trains a verifier.

    python -m training.verifiers.train_verifier --kind zero-shot --minutes 40      (ground truth, from scratch)
    python -m training.verifiers.train_verifier --kind parm --minutes 30           (the generator's own pictures; also orm, prm)
    python -m training.verifiers.train_verifier --kind parm --minutes 12 --run ... \
        --perception training/runs/verifier-parm/verifier.pt

Ground truth teaches what words mean and objects look like; trajectories teach what half-made pictures become. Every fine-tuned
verifier starts from the one zero-shot verifier. Seeing objects gains from long training, while words learn single facts by heart
in it: `--perception` takes what sees from another training, and teaches words alone, for a shorter time.
`training.verifiers.calibrate_verifier` turns a result into a released verifier.
"""

import copy
from pathlib import Path

import numpy as np
import torch

from training.data.detector_scenes import detector_worlds
from training.data.ranking_shards import RankingData
from training.data.reconstruction import coded_scenes, exported_decoder
from training.folders import CONFIGS, RUNS, WEIGHTS
from training.loop.checkpoint import load_weights
from training.loop.config_file import read_settings
from training.loop.stage_arguments import hardware_of, overridden, run_stage, stage_parser
from training.models.detector import Detector, DetectorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.models.verifier import Verifier, VerifierConfig
from training.sampling.ranking_data import released_files, sampling_of, source_of
from training.verifiers.questions import Questioner
from training.verifiers.trajectory_examples import TrajectoryExamples
from training.verifiers.verifier_data import BatchMaker, SceneExamples, VerifierBatch, join
from training.verifiers.verifier_kinds import KINDS, ZERO_SHOT, trained_weights
from training.verifiers.verifier_stage import VerifierStage, VerifierTraining
from training.world.config import WorldConfig
from training.world.fact_splits import TrainingFacts
from training.world.geneval_rules import DetectionThresholds
from training.world.tokenizer import PAD, build_tokenizer
from training.world.world import World

# Two of three scenes look as the generator's; the others keep the trunk from knowing only its drawings.
_HOME_SCENES = 10


def main() -> None:
    parser = stage_parser(__doc__.splitlines()[0], "verifier", minutes=30.0)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml", help="thresholds and sampling (%(default)s)")
    parser.add_argument("--trunk", type=Path, help="detector weights of an equal trunk that a new verifier starts from")
    parser.add_argument(
        "--perception", type=Path, help="verifier whose trunk and object maps are taken over and stay as they are"
    )
    parser.add_argument(
        "--released", type=Path, default=WEIGHTS, help="released weights that made the trajectories (%(default)s)"
    )
    parser.add_argument("--trajectories", type=Path, default=RUNS / "ranking", help="of ranking_data (%(default)s)")
    parser.set_defaults(run=None)
    arguments = parser.parse_args()
    arguments.run = arguments.run or trained_weights(arguments.kind).parent
    is_zero_shot = arguments.kind == ZERO_SHOT
    torch.manual_seed(arguments.seed)
    base, tokenizer, facts = WorldConfig.from_toml(arguments.world), build_tokenizer(), TrainingFacts()
    known = {"vocabulary_size": tokenizer.get_vocab_size(), "pad_id": PAD, "image_size": base.image_size}
    model = Verifier(read_settings(arguments.config, VerifierConfig, "verifier", **known))
    if not is_zero_shot:
        arguments.start = arguments.start or trained_weights(ZERO_SHOT)
    if arguments.trunk is not None:
        model.trunk.load_state_dict(load_weights(arguments.trunk, Detector, DetectorConfig).trunk.state_dict())
    if arguments.perception is not None and is_zero_shot:
        parser.error("--perception: ground truth teaches the whole verifier; take --kind orm, prm or parm")
    stage = "ground_truth" if is_zero_shot else "trajectories"
    settings = overridden(read_settings(arguments.config, VerifierTraining, "training", stage), arguments)

    home = World(base, facts)
    worlds = [home] * _HOME_SCENES + [World(wide.config, facts) for wide in detector_worlds(base)]
    questioner, maker = Questioner(home, facts), BatchMaker(tokenizer, model.config)
    quantizer, hardware = load_weights(arguments.released / "quantizer.pt", Quantizer, QuantizerConfig), hardware_of(arguments)
    on_cpu, is_forked = hardware.device.type == "cpu", hardware.workers > 0
    # A process that is forked later can use neither a GPU nor the threads of an exported graph: `quantizer` stays as it is.
    decode = exported_decoder(quantizer, hardware.threads) if on_cpu else copy.deepcopy(quantizer).to(hardware.device).decode
    show_codes = decode if on_cpu and not is_forked else quantizer.decode
    scenes = SceneExamples(worlds, questioner, maker, coded_scenes(quantizer, home, show_codes, encode_ahead=is_forked))
    if is_zero_shot:

        def make_batch(rng: np.random.Generator, size: int) -> VerifierBatch:
            return scenes.batch(rng, size, settings.questions)
    else:
        thresholds = DetectionThresholds.from_toml(arguments.settings)
        source = source_of(released_files(arguments.released), sampling_of(arguments.settings))
        data = RankingData.read(arguments.trajectories, "train", source)
        recorded = TrajectoryExamples(data, questioner, maker, thresholds, KINDS[arguments.kind])

        def make_batch(rng: np.random.Generator, size: int) -> VerifierBatch:
            # Recorded pictures come in pairs.
            count = 2 * round(size * (1 - settings.scene_share) / 2)
            pictures = recorded.batch(rng, count, settings.questions)
            return join(scenes.batch(rng, size - count, settings.questions), pictures) if count < size else pictures

    tasks = KINDS[arguments.kind].tasks
    run_stage(VerifierStage(model, settings, tasks, make_batch, decode, perception=arguments.perception), settings, arguments)


if __name__ == "__main__":
    main()
