"""Checkpoints that survive a kill: written beside the target, then renamed over it."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint atomically: a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint written by `save_checkpoint` or `save_weights`, on the CPU.

    Raises:
        FileNotFoundError: there is none; the message says how one is made.
    """
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint at {path}; the training script of that model writes it")
    return torch.load(path, map_location="cpu", weights_only=True)


def save_weights(path: Path, model: nn.Module, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Writes the weights for release: float16, with the model's configuration.

    Args:
        path: target file.
        model: its `config` dataclass is stored beside the weights.
        weights: stored instead of the model's own (for averaged ones); float32.
    """
    state = weights if weights is not None else model.state_dict()
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_checkpoint(path, {"config": asdict(model.config), "weights": half})


def load_weights(path: Path, model_class: type[nn.Module], config_class: type) -> nn.Module:
    """Builds a model from a release file: float32, evaluation mode."""
    content = load_checkpoint(path)
    model = model_class(config_class(**content["config"]))
    model.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in content["weights"].items()}
    )
    return model.eval()
