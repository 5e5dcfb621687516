"""The loop that all four trainings share: rate, gradients, optimisers, average, log, checkpoints, resumption."""

import copy
import math
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from training.loop.averaged_weights import AveragedWeights
from training.loop.budget import Budget, rate_scale
from training.loop.checkpoint import config_differences, load_checkpoint, save_checkpoint, save_weights
from training.loop.device import Hardware
from training.loop.examples import Examples
from training.loop.muon import build_optimizers, set_learning_rate
from training.loop.parallel import ThreadedGradients
from training.loop.run_log import RunLog
from training.loop.stage import Stage, TrainingSettings
from training.loop.whole_batch import WholeBatchGradients


class TrainingLoop:
    """One run of a stage. A run counted in steps ends on a CPU with the same weights, interrupted and resumed or not.

    Files in the run's folder: `checkpoint.pt` (to resume), `log.jsonl`, what the stage's `measure` draws, and unless they go
    elsewhere the released weights; all are written at every checkpoint.
    """

    def __init__(
        self, stage: Stage, settings: TrainingSettings, budget: Budget, run: Path, *, hardware: Hardware, seed: int,
        weights: Path | None = None,
    ):  # fmt: skip
        """Moves the stage's model to the device.

        Args:
            stage: what is trained.
            settings: batch, rates and average.
            budget: when to stop.
            run: the run's folder, made if need be.
            hardware: where to train.
            seed: of the examples.
            weights: file of the released weights (float16); None for `NAME.pt` in the run's folder.
        """
        self.stage, self.settings, self.budget, self.run, self.hardware, self.seed = stage, settings, budget, run, hardware, seed
        self.model = stage.model.to(hardware.device).train()
        self.weights = weights or run / f"{stage.name}.pt"
        self.step = 0
        self._average = AveragedWeights(self.model, settings.average_decay, settings.average_every)
        self._optimizers = build_optimizers(self.model, settings.muon_lr, settings.adam_lr, stage.is_hidden)
        self._logged_step, self._logged_seconds = 0, 0.0
        run.mkdir(parents=True, exist_ok=True)
        self._log = RunLog(run / "log.jsonl")

    def resume(self) -> None:
        """Continues from `checkpoint.pt`, on whatever device this run has.

        Raises:
            FileNotFoundError: there is no checkpoint.
            ValueError: it is of a model of other sizes.
        """
        path = self.run / "checkpoint.pt"
        saved = load_checkpoint(path)
        if differences := config_differences(saved["config"], self.model.config):
            raise ValueError(f"{path} is of another model, so it cannot be resumed: {differences}")
        self.model.load_state_dict(saved["model"])
        self._average.restore(saved["average"])
        for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.budget.spent_seconds = saved["step"], saved["seconds"]

    def train(self) -> None:
        """Trains until the budget is spent, and writes a last checkpoint."""
        self._log.write(start=self.step, **self._description())
        self._logged_step, self._logged_seconds = self.step, self.budget.elapsed_seconds()
        saved_at = self.budget.elapsed_seconds()
        recent: list[dict[str, Tensor]] = []
        gradients = self._gradients()
        try:
            while (progress := self.budget.progress(self.step)) < 1:
                set_learning_rate(self._optimizers, rate_scale(progress))
                recent += gradients.backward(self.step)
                gradients.run([optimizer.step for optimizer in self._optimizers])
                self.step += 1
                self._average.update(self.model)
                if self.step % self.stage.log_steps == 0:
                    self._write_log(recent)
                    recent.clear()
                if self.budget.elapsed_seconds() - saved_at > self.stage.checkpoint_seconds:
                    self.save()
                    saved_at = self.budget.elapsed_seconds()
        finally:
            gradients.close()
        self.save()

    def averaged(self) -> nn.Module:
        """The averaged model in its released form, on the device, evaluation mode."""
        model = copy.deepcopy(self.model)
        model.load_state_dict(self._average.state)
        return self.stage.released(model.eval())

    def save(self) -> None:
        """Writes checkpoint and released weights, then measures them."""
        content = {"model": self.model.state_dict(), "average": self._average.checkpoint(), "step": self.step}
        content |= {"optimizers": [optimizer.state_dict() for optimizer in self._optimizers]}
        content |= {"seconds": self.budget.elapsed_seconds(), "config": asdict(self.model.config)}
        save_checkpoint(self.run / "checkpoint.pt", content)
        released = self.averaged()
        save_weights(self.weights, released)
        if measured := self.stage.measure(released, self.run):
            self._log.write(step=self.step, minutes=self._minutes(), **measured)

    def _gradients(self) -> ThreadedGradients | WholeBatchGradients:
        parts = self.stage.parts if self.hardware.device.type == "cpu" else 1
        examples = Examples(self.stage.examples, self.seed, self.settings.batch, parts)
        if parts > 1:
            return ThreadedGradients(self.stage, examples, self.hardware.threads)
        return WholeBatchGradients(self.stage, examples, self.hardware, self.step)

    def _description(self) -> dict:
        """What it takes to repeat the run."""
        return {
            "stage": self.stage.name, "seed": self.seed, "device": str(self.hardware.device), "threads": self.hardware.threads,
            "torch": str(torch.__version__), "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "training": asdict(self.settings), "model": asdict(self.model.config),
        }  # fmt: skip

    def _write_log(self, recent: list[dict[str, Tensor]]) -> None:
        """Means of the scalars since the last entry; a scalar that a batch has no example for is not a number there."""
        seconds = self.budget.elapsed_seconds()
        means = {name: torch.stack([scalars[name].float() for scalars in recent]).nanmean().item() for name in recent[0]}
        rate = (self.step - self._logged_step) * self.settings.batch / (seconds - self._logged_seconds)
        known = {name: round(mean, 4) for name, mean in means.items() if math.isfinite(mean)}
        self._log.write(step=self.step, minutes=self._minutes(), examples_per_second=round(rate, 1), **known)
        self._logged_step, self._logged_seconds = self.step, seconds

    def _minutes(self) -> float:
        return round(self.budget.elapsed_seconds() / 60, 2)
