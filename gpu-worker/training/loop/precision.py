"""Which precision a machine computes matrix products in: bfloat16 where its units have it, float32 elsewhere.

A CPU without bfloat16 instructions emulates them: on AVX2 a product in bfloat16 took eighty times as long as in float32.
"""

from contextlib import AbstractContextManager, nullcontext

import torch

# PyTorch offers no public question for this; torch is pinned, and a test asks it.
_CPU_HAS_BFLOAT16 = torch.cpu._is_avx512_bf16_supported()


def matrix_dtype(device_type: str = "cpu") -> torch.dtype:
    """bfloat16 or float32: the faster one for matrix products on "cpu" or "cuda"."""
    return torch.bfloat16 if device_type == "cuda" or _CPU_HAS_BFLOAT16 else torch.float32


def mixed_precision(device_type: str = "cpu", *, cache_enabled: bool = True) -> torch.autocast:
    """Context in which linear layers and convolutions run in `matrix_dtype`; does nothing where that is float32."""
    reduced = matrix_dtype(device_type) is torch.bfloat16
    return torch.autocast(device_type, torch.bfloat16, enabled=reduced, cache_enabled=cache_enabled)


def full_precision(device_type: str) -> AbstractContextManager:
    """Context in which nothing is rounded to bfloat16, for arithmetic that rounding would change the meaning of."""
    # PyTorch's "meta" device, which tests use, has no mixed precision that could be switched off.
    return torch.autocast(device_type, enabled=False) if torch.amp.is_autocast_available(device_type) else nullcontext()
