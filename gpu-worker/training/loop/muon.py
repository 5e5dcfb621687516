"""Muon for matrices and convolution kernels, AdamW for the rest.

Muon replaces a momentum matrix by the nearest orthogonal one (Newton-Schulz iteration, in bfloat16 where that is fast),
so all directions of a weight learn at the same rate. `torch.optim.Muon` takes matrices only; this one flattens kernels as well.
Source: Keller Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.loop.precision import matrix_dtype

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonalize(matrix: Tensor) -> Tensor:
    """Approximates U V^T of a matrix's singular value decomposition; [rows, columns], same shape, `matrix_dtype`."""
    x = matrix.to(matrix_dtype(matrix.device.type))
    transposed = x.shape[0] > x.shape[1]
    if transposed:
        x = x.T
    x = x / (x.norm() + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if transposed else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised per weight.

    Args:
        params: weights of two or more dimensions; all but the first are flattened.
        lr: change of a weight's spectral norm per step, times sqrt(max(1, rows / columns)).
        momentum: share of the old momentum kept, 0..1; Nesterov form.
        weight_decay: decoupled, times `lr`.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Updates every weight that has a gradient; closures are not supported."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                direction = weight.grad.lerp(momentum, group["momentum"])
                matrix = direction.reshape(len(direction), -1)
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                update = orthogonalize(matrix).reshape(weight.shape).to(weight.dtype)
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


def build_optimizers(
    model: nn.Module, muon_lr: float, adam_lr: float, is_hidden: Callable[[str, Tensor], bool]
) -> list[torch.optim.Optimizer]:
    """Muon for the weights that `is_hidden(name, weight)` names, AdamW for all others; none for weights that need no gradient.

    Returns:
        Optimisers over disjoint weights, so that threads can step them at the same time. Every parameter group
        carries `initial_lr`, which `set_learning_rate` scales.
    """
    learned = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    hidden = [weight for name, weight in learned if is_hidden(name, weight)]
    others = [weight for name, weight in learned if not is_hidden(name, weight)]
    halves = [half for half in (hidden[0::2], hidden[1::2]) if half]
    optimizers: list[torch.optim.Optimizer] = [Muon(half, lr=muon_lr, weight_decay=0.01) for half in halves]
    optimizers.append(torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def set_learning_rate(optimizers: list[torch.optim.Optimizer], scale: float) -> None:
    """Sets every group's rate to `scale` times its initial one."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * scale
