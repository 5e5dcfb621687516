"""What alignment minimises: losses over states of recorded paths.

`policy` and `reference` are log-probabilities [K] of the target codes at the places that count, by the generator that learns and
by the frozen one that it began as. All are scalars in nats; sums over a picture are over its N codes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.alignment.path_states import PathStates


@dataclass(frozen=True)
class Objective:
    """Constants of the losses; the defaults are those of each source unless a comment says otherwise.

    Attributes:
        beta: of DPO, how far the policy may leave the reference.
        anchor: of DPO, weight of the chosen picture's own likelihood. Without it both sides of a pair fall, the chosen one
            too, because most of their codes are equal (LOG.md).
        clip: of the policy gradient, share by which a step may change a code's probability.
        floor: of negative-aware fine-tuning, the least probability ratio of the implicit negative policy.
    """

    beta: float = 0.1
    anchor: float = 3.0
    clip: float = 0.2
    floor: float = 0.05


def picture_likelihood(of_place: Tensor, states: PathStates) -> Tensor:
    """Log-likelihood of each picture given its state, as if all its codes were asked: float32 [B], from [K]."""
    pictures, count = len(states.tokens), states.tokens.shape[1]
    sums = of_place.new_zeros(pictures).index_add(0, states.owner, of_place)
    asked = of_place.new_zeros(pictures).index_add(0, states.owner, torch.ones_like(of_place))
    return count * sums / asked.clamp(min=1)


def imitation_loss(policy: Tensor) -> Tensor:
    """Cross-entropy of what should have come of the policy's own states.

    Source: DAgger, arXiv 1011.0686: the learner's states, an expert's answers. The expert is the matcher, which knows the
        scene of whole drawings that a broken picture comes nearest to, and the picture itself where it is right.
    """
    return -policy.mean()


def dpo_loss(policy: Tensor, reference: Tensor, states: PathStates, objective: Objective) -> tuple[Tensor, dict[str, Tensor]]:
    """Direct preference optimisation; the first half of the states are the chosen pictures, the second their rejected ones.

    Source: DPO, arXiv 2305.18290, with the likelihood of PARM, arXiv 2501.13926, section 3.3, over the masks of the recorded
        path; the anchor as in RPO, arXiv 2404.19733.
    """
    ours, theirs = picture_likelihood(policy, states), picture_likelihood(reference, states)
    chosen, rejected = (ours - theirs).chunk(2)
    margin = objective.beta * (chosen - rejected)
    anchor = -ours.chunk(2)[0].mean() / states.tokens.shape[1]
    scalars = {"accuracy": (margin > 0).float().mean(), "chosen": chosen.mean(), "rejected": rejected.mean()}
    return -F.logsigmoid(margin).mean() + objective.anchor * anchor, scalars


def nft_loss(policy: Tensor, reference: Tensor, states: PathStates, objective: Objective) -> tuple[Tensor, dict[str, Tensor]]:
    """Negative-aware fine-tuning: right pictures raise the policy, wrong ones an implicit policy of the negatives, bounded below.

    Source: NFT, arXiv 2505.18116, a code for a token; prompts weigh 1 - r, with which its first gradient is that of the policy
    gradient below.
    """
    right, rate = states.right[states.owner], states.success[states.owner].clamp(0.02, 0.98)
    ratio = (policy - reference).exp()
    negative = ((1 - rate * ratio) / (1 - rate)).clamp(min=objective.floor)
    # Where the negative policy is at its floor the loss is flat: nothing more is to be taken from this code.
    each = torch.where(right > 0, policy - reference, negative.log())
    scalars = {"ratio": ratio.mean(), "floored": ((right == 0) & (negative <= objective.floor)).float().mean()}
    return -((1 - rate) * each).mean(), scalars


def policy_gradient_loss(
    policy: Tensor, reference: Tensor, states: PathStates, objective: Objective
) -> tuple[Tensor, dict[str, Tensor]]:
    """Group-relative policy gradient over the codes that each step committed.

    Source: GRPO, arXiv 2402.03300, with the transition of Mask-GRPO, arXiv 2510.13418 (newly committed codes), and the
        advantage not divided by its deviation, as in Dr. GRPO, arXiv 2503.20783: that would favour prompts that are nearly
        solved.
    """
    advantage = states.advantage[states.owner]
    ratio = (policy - reference).exp()
    clipped = ratio.clamp(1 - objective.clip, 1 + objective.clip)
    scalars = {"ratio": ratio.mean(), "clipped": (ratio != clipped).float().mean()}
    return -torch.minimum(ratio * advantage, clipped * advantage).mean(), scalars
