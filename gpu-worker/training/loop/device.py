"""Where a training runs: its device, the threads that compute on a CPU, the processes that compose examples."""

import os
from dataclasses import dataclass

import torch

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Hardware:
    """What a run may use.

    Attributes:
        device: holds the model and its batches.
        threads: threads that compute on a CPU, at least 1.
        workers: processes that compose examples ahead of time; 0 composes them between steps.
    """

    device: torch.device
    threads: int = 1
    workers: int = 0

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")
        if self.workers < 0:
            raise ValueError(f"workers must be 0 or more, got {self.workers}")


def choose_hardware(device: str = "auto", threads: int | None = None, workers: int | None = None) -> Hardware:
    """Hardware of a run, from what was asked for and what is there.

    Args:
        device: one of `DEVICES`; "auto" is a GPU where there is one.
        threads: None for one a core.
        workers: None for none on a CPU, whose cores are busy with the model, and for one a core but one beside a GPU.

    Raises:
        ValueError: the device is unknown or absent, or a number is out of range.
    """
    if device not in DEVICES:
        raise ValueError(f"unknown device {device!r}; known are {', '.join(DEVICES)}")
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise ValueError("device is cuda, but PyTorch finds no GPU here; use --device cpu, or auto for whatever there is")
    cores = os.cpu_count() or 1
    on_gpu = has_gpu and device != "cpu"
    default_workers = max(1, cores - 1) if on_gpu else 0
    return Hardware(
        torch.device("cuda" if on_gpu else "cpu"),
        cores if threads is None else threads,
        default_workers if workers is None else workers,
    )
