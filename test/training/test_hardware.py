"""Which device, threads and precision a training takes."""

import pytest
import torch

from training.loop import precision
from training.loop.device import choose_hardware
from training.loop.muon import orthogonalize


def pretend(monkeypatch, *, gpu: bool, cores: int = 16) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr("os.cpu_count", lambda: cores)


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    pretend(monkeypatch, gpu=True)
    hardware = choose_hardware("auto")
    assert hardware.device.type == "cuda" and hardware.workers == 15
    assert choose_hardware("cpu").device.type == "cpu"
    pretend(monkeypatch, gpu=False)
    hardware = choose_hardware("auto")
    assert hardware.device.type == "cpu" and hardware.workers == 0 and hardware.threads == 16


def test_what_is_asked_for_is_taken_or_refused(monkeypatch):
    pretend(monkeypatch, gpu=False)
    hardware = choose_hardware("cpu", threads=3, workers=2)
    assert (hardware.threads, hardware.workers) == (3, 2)
    with pytest.raises(ValueError, match="PyTorch finds no GPU here; use --device cpu"):
        choose_hardware("cuda")
    with pytest.raises(ValueError, match="unknown device 'gpu'; known are auto, cpu, cuda"):
        choose_hardware("gpu")
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        choose_hardware("cpu", threads=0)
    with pytest.raises(ValueError, match="workers must be 0 or more, got -1"):
        choose_hardware("cpu", workers=-1)


@pytest.mark.parametrize(("fast", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_products_are_in_bfloat16_only_where_that_is_fast(monkeypatch, fast, expected):
    monkeypatch.setattr(precision, "_CPU_HAS_BFLOAT16", fast)
    linear = torch.nn.Linear(4, 4)
    with precision.mixed_precision():
        assert linear(torch.ones(2, 4)).dtype is expected
    assert orthogonalize(torch.eye(4)).dtype is expected
    assert precision.matrix_dtype("cuda") is torch.bfloat16


def test_pytorch_still_answers_whether_this_cpu_has_bfloat16():
    assert isinstance(torch.cpu._is_avx512_bf16_supported(), bool)


def test_orthogonalised_matrices_are_nearly_orthogonal_in_either_precision(monkeypatch):
    matrix = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))
    for fast in (True, False):
        monkeypatch.setattr(precision, "_CPU_HAS_BFLOAT16", fast)
        singular = torch.linalg.svdvals(orthogonalize(matrix).float())
        assert singular.min() > 0.5 and singular.max() < 1.4  # what five iterations of these coefficients reach
