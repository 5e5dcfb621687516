"""What was measured about the yardstick, as Markdown tables and JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence

from training.world.classes import CLASSES, TASKS
from training.world.geneval_rules import DetectionThresholds, is_correct
from training.yardstick.truth_agreement import Agreement, CountingReading, Detections, Trial, measure_agreement, read_counts

_SWEEP = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_WORST_CLASSES = 12


def agreement_entry(agreements: Mapping[str, Agreement]) -> dict[str, dict]:
    """Shares 0..1 by task, with 95% intervals; `lowest` is the share of the task that does worst."""
    entry: dict[str, dict] = {
        task: {
            "agreement": round(found.share, 4),
            "interval95": [round(edge, 4) for edge in found.interval95],
            "accepted": round(found.accepted / found.right, 4),
            "refused": round(found.refused / found.wrong, 4),
            "pictures": found.right + found.wrong,
        }
        for task, found in agreements.items()
    }
    return {**entry, "lowest": min(found.share for found in agreements.values())}


def agreement_table(agreements: Mapping[str, Mapping[str, Agreement]]) -> str:
    """One line for each view of the pictures and task."""
    lines = [
        "| pictures | task | agreement (95% interval) | right called right | wrong called wrong |",
        "|---|---|---|---|---|",
    ]
    for view, of_task in agreements.items():
        for task, found in of_task.items():
            low, high = found.interval95
            lines.append(
                f"| {view} | {task} | {found.share:.3f} ({low:.3f}-{high:.3f}) | {found.accepted} of {found.right} "
                f"| {found.refused} of {found.wrong} |"
            )
    return "\n".join(lines)


def sweep_table(view: str, trials: Mapping[str, Sequence[Trial]], seen: Mapping[str, Sequence[Detections]]) -> str:
    """Agreement of each task if its score threshold were another."""
    lines = [f"| {view}, threshold | {' | '.join(TASKS)} |", "|---" * (len(TASKS) + 1) + "|"]
    for threshold in _SWEEP:
        both = DetectionThresholds(score=threshold, counting=threshold)
        shares = [f"{measure_agreement(trials[task], seen[task], both).share:.3f}" for task in TASKS]
        lines.append(f"| {threshold} | {' | '.join(shares)} |")
    return "\n".join(lines)


def counting_table(view: str, trials: Sequence[Trial], seen: Sequence[Detections], threshold: float) -> str:
    """How many objects were seen where how many are, and the classes that were counted wrongly most often."""
    readings = read_counts(trials, seen, threshold)
    lines = [f"| {view}, objects | pictures | fewer seen | all seen | more seen |", "|---|---|---|---|---|"]
    for truth in sorted({reading.truth for reading in readings}):
        kinds = Counter(_kind(reading) for reading in readings if reading.truth == truth)
        lines.append(f"| {truth} | {kinds.total()} | {kinds['fewer']} | {kinds['all']} | {kinds['more']} |")
    wrong = Counter((reading.name, _kind(reading)) for reading in readings if _kind(reading) != "all")
    shown = Counter(reading.name for reading in readings)
    worst = [f"{name}: {kind} in {count} of {shown[name]}" for (name, kind), count in wrong.most_common(_WORST_CLASSES)]
    return "\n".join([*lines, "", f"Most often counted wrongly: {'; '.join(worst) or 'none'}."])


def fault_table(refused: Mapping[str, Mapping[str, float]]) -> str:
    """Shares of scenes with one fault that are refused: one line for each kind."""
    judges = list(next(iter(refused.values())))
    lines = [f"| fault, refused by | {' | '.join(judges)} |", "|---" * (len(judges) + 1) + "|"]
    lines += [f"| {kind} | {' | '.join(f'{shares[judge]:.3f}' for judge in judges)} |" for kind, shares in refused.items()]
    return "\n".join(lines)


def refusal_lines(
    view: str, trials: Mapping[str, Sequence[Trial]], seen: Mapping[str, Sequence[Detections]], thresholds: DetectionThresholds
) -> str:
    """Why right pictures were called wrong: what was not seen, or read in another colour, most frequent first."""
    lines = [f"{view}, right pictures called wrong:"]
    for task, of_task in trials.items():
        threshold = thresholds.counting if task == "counting" else thresholds.score
        reasons = Counter(
            reason
            for trial, found in zip(of_task, seen[task], strict=True)
            if trial.right and not is_correct(found, trial.spec, thresholds)
            for reason in _misread(trial, [known for known in found if known.score > threshold])
        )
        listed = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(_WORST_CLASSES))
        lines.append(f"- {task}: {listed or 'none'}")
    return "\n".join(lines)


def _misread(trial: Trial, kept: Detections) -> list[str]:
    """What a right picture's objects were taken for."""
    reasons = []
    for entry in trial.spec["include"]:
        name, color = entry["class"], entry.get("color")
        same = [known for known in kept if CLASSES[known.class_index] == name]
        if len(same) < entry["count"]:
            reasons.append(f"{color + ' ' if color else ''}{name} not seen")
        elif color and same[0].color != color:
            reasons.append(f"{color} {name} read as {same[0].color}")
        elif len(same) > entry["count"] and trial.spec["tag"] == "counting":
            reasons.append(f"{name} seen too often")
    return reasons or ["place misread"]


def _kind(reading: CountingReading) -> str:
    if reading.seen == reading.truth:
        return "all"
    return "fewer" if reading.seen < reading.truth else "more"
