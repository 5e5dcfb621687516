"""Turns a trained verifier into a released one: `python -m training.verifiers.calibrate_verifier parm`.

On the calibration split of the trajectories it fits each question's probability and chooses thresholds and judged steps by
replaying the engine's rule, unless they are given; on the test split, which nothing has seen, it measures the result. Writes
`weights/NAME.pt`, with the fit folded into its head, and `weights/NAME.json`, which the bundle's manifest and the report read.

What it chooses keeps nine of ten good candidates. Where the best of many is wanted, far fewer need to be kept: a recording of
validation prompts shows which setting keeps the score of a whole job for the fewest row-steps (`validation_prompts`).

Every step shares one fit, because a verifier is not told the step and a bundle has one threshold for a question; the
reliability tables are by step all the same.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from training.data.ranking_shards import RankingData
from training.export.graphs.decode_graph import build_decode_graph
from training.export.graphs.generator_graphs import build_prefix_graph, build_step_graph
from training.export.graphs.runtime import GraphSession
from training.export.graphs.verifier_graph import build_verifier_graph
from training.folders import CONFIGS, RUNS, WEIGHTS
from training.loop.checkpoint import load_weights, save_weights
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.models.verifier import TASKS, Verifier, VerifierConfig, with_vocabulary
from training.sampling.mask_predict import SamplingSettings
from training.sampling.ranking_data import released_files, sampling_of, source_of
from training.verifiers.coherence import CoherenceFit, fit_fusion
from training.verifiers.probability_quality import area_under_curve, fit_scale_and_shift
from training.verifiers.pruning_choice import ALIGNMENT, PruningRule, choose_acceptance_threshold, choose_pruning, replay_pruning
from training.verifiers.verifier_kinds import KINDS, RELEASED, trained_weights
from training.verifiers.verifier_measurement import Answers, measure, read_answers
from training.world.geneval_rules import DetectionThresholds
from training.world.tokenizer import build_tokenizer

_TIMED_ROWS = 8
# A verifier without a question answers 1 to it, which passes.
_NOT_ASKED = 1.0


@dataclass(frozen=True)
class OperatingPoint:
    """Judged steps and thresholds that were chosen elsewhere, for calibrated probabilities."""

    rule: PruningRule
    alignment: float


def fit_answers(answers: Answers, asks_steps: bool) -> list[tuple[float, float]]:
    """Scale and shift of each question, fitted where it is asked.

    Args:
        answers: of the calibration split.
        asks_steps: whether clarity and potential are asked before the last step only, as PARM's are.
    """
    fits = []
    for index in range(len(TASKS)):
        places = slice(-1, None) if index == ALIGNMENT else slice(None, -1 if asks_steps else None)
        fits.append(fit_scale_and_shift(answers.logits[:, places, index].ravel(), answers.labels[:, places, index].ravel()))
    return fits


def fit_fusions(answers: Answers, fits: list[tuple[float, float]], tasks: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """What coherence adds to each question that decides: alignment at the last step, potential before it.

    Of a verifier that knows potential alone the last answer ranks and accepts, so there it is the last that is fitted.
    """
    logits, fusion = answers.calibrated(fits), {}
    for task in ("potential", "alignment"):
        if task not in tasks:
            continue
        is_last = task == "alignment" or "alignment" not in tasks
        places, index = slice(-1, None) if is_last else slice(None, -1), TASKS.index(task)
        own, labels = (values[:, places, index].ravel() for values in (logits, answers.labels))
        fusion[task] = fit_fusion(own, answers.coherence[:, places].ravel(), labels)
    return fusion


@torch.no_grad()
def fold_into_head(model: Verifier, fits: list[tuple[float, float]]) -> None:
    """Makes the head's logits the calibrated ones."""
    for task, (scale, shift) in enumerate(fits):
        model.head.weight[task] *= scale
        model.head.bias[task] = model.head.bias[task] * scale + shift


def measure_call_row_steps(model: Verifier, generator: Generator, quantizer: Quantizer) -> float:
    """What a judgement and the decoding of its picture cost, in row-steps with guidance; one thread, shortest of several runs."""
    config, size = generator.config, model.config.image_size
    tokens = np.full((_TIMED_ROWS, config.image_tokens), config.codebook_size)
    prompt_ids = np.zeros((_TIMED_ROWS, config.max_prompt_tokens), np.int64)
    prefix_kv = GraphSession(build_prefix_graph(generator), 1).run({"prompt_ids": prompt_ids[:2]})["prefix_kv"]
    step = {
        "tokens": tokens, "prefix_kv": prefix_kv, "row_prompt": np.ones(_TIMED_ROWS, np.int64),
        "guidance": np.ones(_TIMED_ROWS, np.float32), "uniform": np.full(tokens.shape, 0.5, np.float32),
    }  # fmt: skip
    image = np.zeros((_TIMED_ROWS, size, size, 3), np.uint8)
    judged = GraphSession(build_verifier_graph(model), 1).best_milliseconds({"image": image, "prompt_ids": prompt_ids})
    decoded = GraphSession(build_decode_graph(quantizer), 1).best_milliseconds({"ids": np.zeros(tokens.shape, np.int64)})
    return (judged + decoded) / GraphSession(build_step_graph(generator), 1).best_milliseconds(step)


def release(
    model: Verifier,
    read: Callable[[str], Answers],
    tasks: tuple[str, ...],
    sampling: SamplingSettings,
    call_row_steps: float,
    given: OperatingPoint | None = None,
) -> dict:
    """Calibrates a model in place and returns what its JSON file says.

    Args:
        read: the model's answers about a split, before calibration.
        tasks: the questions that it will be asked.
        sampling: of the trajectories.
        call_row_steps: from `measure_call_row_steps`.
        given: of a verifier that prunes: what to use instead of choosing it here.

    Raises:
        ValueError: a given step was not recorded, or is the last.
    """
    known, prunes = read("calibration"), set(tasks) == set(TASKS)
    if given and (unknown := set(given.rule.steps) - set(known.steps[:-1])):
        raise ValueError(f"judged steps {sorted(unknown)} were not recorded; permitted are {list(known.steps[:-1])}")
    fits = fit_answers(known, prunes)
    fusion, step_count = fit_fusions(known, fits, tasks), sampling.all_steps
    probability, good = known.scores(fits, fusion), known.labels[:, -1, ALIGNMENT] > 0.5
    thresholds, rule, prune_rates = dict.fromkeys(TASKS, _NOT_ASKED), PruningRule((), _NOT_ASKED, _NOT_ASKED), ()
    if prunes:
        rule = given.rule if given else choose_pruning(probability, good, known.steps, step_count, call_row_steps)
        thresholds |= {"clarity": rule.clarity, "potential": rule.potential}
        prune_rates = replay_pruning(probability, good, known.steps, step_count, rule).prune_rates
    if given:
        thresholds["alignment"] = given.alignment
    else:
        # A process reward knows potential only, whose last answer ranks and accepts.
        deciding = "alignment" if "alignment" in tasks else "potential"
        final = probability[:, -1, TASKS.index(deciding)]
        thresholds[deciding] = choose_acceptance_threshold(final, known.labels[:, -1, ALIGNMENT])
    fold_into_head(model, fits)

    unseen = read("test")
    tested = unseen.scores(fits, fusion)
    measured = measure(unseen, tested, tasks) | {"parts": _parts(unseen, fits, tasks)}
    if prunes:
        unseen_good = unseen.labels[:, -1, ALIGNMENT] > 0.5
        outcome = replay_pruning(tested, unseen_good, unseen.steps, step_count, rule)
        rounded = {name: round(getattr(outcome, name), 4) for name in ("lost", "caught", "saved", "calls")}
        measured["pruning"] = rounded | {"pruneRates": [round(rate, 4) for rate in outcome.prune_rates]}
    return {
        "tasks": list(tasks),
        "thresholds": thresholds,
        "judgedSteps": list(rule.steps),
        "judgedStepsOf": sampling.steps,
        "fusion": fusion,
        "callRowSteps": round(call_row_steps, 3),
        "pruneRates": [round(rate, 4) for rate in prune_rates],
        "calibratedOn": len(good),
        "measured": measured,
    }


def _parts(answers: Answers, fits: list[tuple[float, float]], tasks: tuple[str, ...]) -> dict[str, float | None]:
    """Area under the curve of final pictures by the verifier alone, and by coherence alone."""
    right = answers.labels[:, -1, ALIGNMENT]
    own = answers.calibrated(fits)[:, -1, TASKS.index("alignment" if "alignment" in tasks else "potential")]
    areas = {"verifier": area_under_curve(own, right), "coherence": area_under_curve(answers.coherence[:, -1], right)}
    return {name: None if area is None else round(area, 4) for name, area in areas.items()}


def _operating_point(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> OperatingPoint | None:
    values = [arguments.judged_steps, *(getattr(arguments, task) for task in TASKS)]
    if all(value is None for value in values):
        return None
    if any(value is None for value in values):
        parser.error("--judged-steps, --clarity, --potential and --alignment go together: give all four or none")
    if set(RELEASED[arguments.name].tasks) != set(TASKS):
        parser.error(f"{arguments.name} prunes nothing: it has no judged steps to be given")
    steps, clarity, potential, alignment = values
    return OperatingPoint(PruningRule(tuple(sorted(steps)), clarity, potential), alignment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=RELEASED)
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml")
    parser.add_argument("--trained", type=Path, help="weights to calibrate, instead of those of the kind's run")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of released weights")
    parser.add_argument("--trajectories", type=Path, default=RUNS / "ranking")
    parser.add_argument("--threads", type=int, default=2)
    point = parser.add_argument_group("operating point of a verifier that prunes, all four or none")
    point.add_argument("--judged-steps", type=int, nargs="+", help="step indices, ascending")
    for task in TASKS:
        point.add_argument(f"--{task}", type=float, help="threshold, 0..1")
    arguments = parser.parse_args()
    given = _operating_point(parser, arguments)
    torch.set_num_threads(arguments.threads)

    released = RELEASED[arguments.name]
    trained = arguments.trained or trained_weights(released.trained_as)
    found = load_weights(trained, Verifier, VerifierConfig)
    words = build_tokenizer().get_vocab_size()
    model = Verifier(replace(found.config, vocabulary_size=words)).eval()
    model.load_state_dict(with_vocabulary(found.state_dict(), words))
    generator = load_weights(arguments.weights / "generator.pt", Generator, GeneratorConfig)
    quantizer = load_weights(arguments.weights / "quantizer.pt", Quantizer, QuantizerConfig)
    thresholds = DetectionThresholds.from_toml(arguments.settings)
    source = source_of(released_files(arguments.weights), sampling_of(arguments.settings))
    coherence = CoherenceFit.read(arguments.weights / "coherence.json")
    verifier = GraphSession(build_verifier_graph(model), arguments.threads)
    decoder = GraphSession(build_decode_graph(quantizer), arguments.threads)
    # A zero-shot verifier is measured as what it is used for.
    kind = KINDS["prm" if released.tasks == KINDS["prm"].tasks else "parm"]

    def read(split: str) -> Answers:
        data = RankingData.read(arguments.trajectories, split, source)
        return read_answers(verifier, lambda ids: decoder.run({"ids": ids})["image"], data, thresholds, kind, coherence)

    cost = measure_call_row_steps(model, generator, quantizer)
    report = release(model, read, released.tasks, sampling_of(arguments.settings), cost, given)
    save_weights(arguments.weights / f"{arguments.name}.pt", model)
    (arguments.weights / f"{arguments.name}.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
