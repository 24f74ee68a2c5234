"""The cross-entropy of the next item over all N items, or over a sample of them where N is beyond a million.

Over all items, the forward pass already computes the gradients, one block of rows at a time. So the P x N
scores are never held at once, and memory is that of the item gradient (N, D). The cost is little more than
the three matrix products that any full softmax needs: between these, scores are visited in parts that fit the
processor's cache. Example: 2,560 positions and a million items have 2,560 x 10^6 scores, 10 GB in float32.

Over a sample, the K drawn items stand for all others. The exp(score) of each counts 1 / (how often it was
expected to be drawn), the logQ correction, so that the sum over the sample is on average the sum over all
other items: an item expected in every tenth sample counts 10 times when it is drawn. The next item itself is
always in the sum, once and uncorrected; where it was also drawn, that draw does not count.

Shapes: P positions, N items, D width, K drawn items.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gathering import contribution_to_mean
from .precision import product_dtype
from .shapes import filled

# The item gradient (N, D) is updated once for each block of rows: small blocks cost time, large ones memory.
ROWS_CPU, ROWS_GPU = 256, 1024
CACHE_BYTES = 4 * 2**20  # of scores visited at once on a CPU


class _FullSoftmax(torch.autograd.Function):
    """Mean cross-entropy of (P, D) states against (N, D) items, gradients taken on the way forward.

    Autocast leaves out products that write into a given tensor, so the operands are cast here. With bfloat16
    the scores are rounded to it once; the softmax, the loss and the sums over blocks are float32.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        dtype = product_dtype(items)
        # The items as a factor of the two products that read them: scores and the gradient of states.
        factor = items.to(dtype)
        on_cpu = states.device.type == "cpu"
        # Transposed in memory: oneDNN multiplies bfloat16 1.5 times as fast by contiguous columns.
        columns = factor.T.contiguous() if on_cpu and factor.element_size() < 4 else factor.T
        # In bfloat16 twice as many rows as in float32 take as many bytes.
        rows = ROWS_CPU * 4 // factor.element_size() if on_cpu else ROWS_GPU
        # So many rows of scores fit the cache: 19 of 55,000 items in float32. On a GPU there is one visit.
        part = max(1, CACHE_BYTES // (4 * len(items))) if on_cpu else rows
        held = torch.promote_types(dtype, torch.float32)  # float32; float64 where the model is
        count = len(states)
        states = filled(states)
        # (rows, N): the only scores that are held, overwritten by each block.
        buffer = factor.new_empty(min(rows, len(states)), len(items))
        grad_states = torch.empty_like(states)
        grad_items, grad_bias = torch.zeros_like(items, dtype=held), torch.zeros_like(bias)
        losses = bias.new_zeros(count, dtype=held)
        for low in range(0, count, rows):
            block = states[low : low + rows].to(dtype)
            scores = buffer[: len(block)]
            torch.mm(block, columns, out=scores)  # the first of three products: states · items
            real = slice(low, min(low + len(block), count))  # without the filler behind row `count`
            _visit(scores[: real.stop - low], bias, targets[real], losses[real], grad_bias, part)
            # `scores` now holds the gradient of the scores. Filler rows must add
            # nothing to the items' gradient.
            scores[count - low :] = 0
            grad_states[low : low + rows] = torch.mm(scores, factor)  # the second product, (rows, D)
            # The third product, (N, D). `addmm_` adds it in place but takes no bfloat16
            # factors beside a float32 sum.
            if dtype == held:
                grad_items.addmm_(scores.T, block)
            else:
                grad_items += torch.mm(scores.T, block)
        ctx.save_for_backward(grad_states[:count], grad_items.to(items.dtype), grad_bias)
        ctx.count = max(1, count)
        loss: Tensor = losses.sum() / ctx.count
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        scale = grad_outputs[0] / ctx.count
        # Scaled in place, because a copy would hold the item gradient twice. So the saved gradients are right
        # for one backward pass only, and torch refuses a second one.
        grad_states, grad_items, grad_bias = (gradient.mul_(scale) for gradient in ctx.saved_tensors)
        return grad_states, grad_items, grad_bias, None


def _visit(
    scores: Tensor, bias: Tensor, targets: Tensor, losses: Tensor, grad_bias: Tensor, part: int
) -> None:
    """Turn a block's scores without bias, (rows, N), into their gradient in place, `part` rows at a time.

    Writes the `losses`, (rows,), and adds the gradient of the bias to `grad_bias`, (N,).
    """
    for low in range(0, len(scores), part):
        rows = slice(low, low + part)
        # In float32 this is the buffer itself. From bfloat16 it is a copy, which goes back rounded.
        gradient = scores[rows].to(losses.dtype)
        losses[rows] = _to_gradient(gradient, bias, targets[rows])
        grad_bias.add_(gradient.sum(dim=0))
        scores[rows].copy_(gradient)


def _to_gradient(scores: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Turn scores without bias, (rows, N), into softmax - one-hot in place; gives the losses (rows,)."""
    scores.add_(bias)
    wanted = targets[:, None]
    # loss = -log softmax(target) = (largest score - target's score) + log of the sum of exp(score - largest
    # score). The first term is read here, before the softmax overwrites the scores.
    missing = scores.amax(dim=1) - scores.gather(1, wanted)[:, 0]
    torch.softmax(scores, dim=1, out=scores)  # in place is safe: kernels read a row before they write it
    largest = scores.amax(dim=1)  # 1 / sum of exp(score - largest score)
    scores.scatter_add_(1, wanted, scores.new_full((len(scores), 1), -1))  # softmax - one-hot
    losses: Tensor = missing - largest.log()
    return losses


def full_softmax(states: Tensor, items: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over all items.

    `states` (P, D), `items` (N, D), `bias` (N,), `targets` (P,) with item numbers 1…N.
    """
    loss: Tensor = _FullSoftmax.apply(states, items, bias, targets - 1)
    return loss


def sampled_softmax(taken: Tensor, scores: Tensor, is_target: Tensor, log_expected: Tensor) -> Tensor:
    """Mean cross-entropy of the next item against drawn ones that stand for all others.

    `taken` (P,) and `scores` (P, K) of the next and the drawn items; `is_target` (P, K) where a drawn item is
    the next one; `log_expected` (K,), the logarithm of how often each drawn item was expected to be drawn.
    """
    # exp(score - log e) is exp(score) / e: the logQ correction.
    others = (scores - log_expected).masked_fill(is_target, -torch.inf)
    everything = torch.cat([taken[:, None], others], dim=1).float()
    # The next item stands first among the 1 + K, so the right class is 0 everywhere.
    itself = everything.new_zeros(len(taken), dtype=torch.long)
    return contribution_to_mean(F.cross_entropy(everything, itself, reduction="none"))


class ItemSample(nn.Module):
    """Draws K items, each on average in proportion to its weight.

    Systematic sampling: the weights are laid end to end on a line, the line is cut into K equal parts, and
    one point is drawn in each part; the items under the points are the sample. Expected counts are those of
    independent draws with less variance: with N equal weights and K = N, every item is drawn exactly once.
    """

    ends: Tensor
    weights: Tensor

    def __init__(self, weights: Tensor, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("weights", weights, persistent=False)  # (N,); one of 0 is never drawn
        # Where the stretch of each item ends on the line. Weights are counts, whose sums are exact in
        # float64; in float32 places beyond 2^24 would run together.
        self.register_buffer("ends", weights.cumsum(0).double(), persistent=False)
        # The length of one of the K equal parts. An item of weight w is expected w / width times.
        self.width = int(weights.sum()) / size

    def draw(self) -> tuple[Tensor, Tensor]:
        """Item numbers in 1…N, (K,), and the logarithm of how often each was expected, (K,) float32."""
        device = self.ends.device
        parts = torch.arange(self.size, device=device)
        # One point in each part: somewhere in 0…1, 1…2, …, K-1…K, in units of the width.
        places = (parts + torch.rand(self.size, device=device, dtype=torch.float64)) * self.width
        # The item under a point is the first that ends behind it. Example: weights 3, 0, 1 end at 3, 3, 4.
        # The point 3.0 belongs to the third item; the second has no length and is never drawn.
        items = torch.searchsorted(self.ends, places, right=True).clamp_max(len(self.ends) - 1)
        return items + 1, (self.weights[items] / self.width).log().float()
