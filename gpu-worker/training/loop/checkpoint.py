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
    half = {name: (value.half() if value.is_floating_point() else value).cpu() for name, value in state.items()}
    save_checkpoint(path, {"config": asdict(model.config), "weights": half})


def config_differences(found: dict[str, Any], config: Any, *, ignored: tuple[str, ...] = ()) -> str:
    """Says where a stored configuration differs from a model's: "width is 256 there and 384 here", or nothing.

    Args:
        found: as `save_weights` stored it.
        config: the model's configuration dataclass.
        ignored: fields that may differ.
    """
    wanted = asdict(config)
    names = [name for name in {**wanted, **found} if name not in ignored and found.get(name) != wanted.get(name)]
    return "; ".join(f"{name} is {found.get(name)} there and {wanted.get(name)} here" for name in names)


def read_start(path: Path, config: Any, *, ignored: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """Released weights from which a new run of an equal model begins, float32.

    Args:
        path: a file of `save_weights`.
        config: the new model's configuration dataclass.
        ignored: fields of it that may differ.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the weights are of a model of other sizes.
    """
    content = load_checkpoint(path)
    if differences := config_differences(content["config"], config, ignored=ignored):
        raise ValueError(f"a run cannot start from {path}: {differences}")
    return _widened(content["weights"])


def load_weights(path: Path, model_class: type[nn.Module], config_class: type) -> nn.Module:
    """Builds a model from a release file: float32, evaluation mode."""
    content = load_checkpoint(path)
    model = model_class(config_class(**content["config"]))
    model.load_state_dict(_widened(content["weights"]))
    return model.eval()


def _widened(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
