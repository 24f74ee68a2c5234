"""The two contrasts that align the ID stream with a content stream (TSSR, Eq. 1 and 2); binary losses.

Both contrasts are symmetric InfoNCE over the batch. Where the paper and its released code leave a choice, the
code's is the default; on purpose different: padding enters neither (the code pools over it and starts one row
of Eq. 2 on it).
Under torchrun the batch is that of all processes, and each loss is this process's contribution to it (see
`gathering`).

Shapes: B batch, L steps, D width, P real positions, K negatives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.schema import PADDING
from .batches import WindowBatch
from .gathering import contribution_to_mean, equal_contribution, gathered


def pooled(states: Tensor, real: Tensor) -> Tensor:
    """Mean state over the steps where `real` is set: (B, L, D), (B, L) -> (B, D)."""
    weight = real.unsqueeze(-1).to(states.dtype)  # (B, L, 1)
    # A window of padding alone is divided by 1, not by 0, and has the mean 0.
    return (states * weight).sum(1) / weight.sum(1).clamp_min(1)


def user_contrast(states_id: Tensor, states_content: Tensor, real: Tensor, temperature: float) -> Tensor:
    """Eq. 1: contrast of the two streams of each user, pooled over steps and compared by cosine.

    The positive of a user's ID stream is the same user's content stream; the negatives are the content
    streams of the B - 1 other users. The other direction has the roles swapped. States are the unimodal
    encoders' outputs (B, L, D). Mean over users, the two directions summed.
    """
    # At length 1 the inner product is the cosine: s of Eq. 1.
    view_id = gathered(F.normalize(pooled(states_id, real), dim=-1))
    view_content = gathered(F.normalize(pooled(states_content, real), dim=-1))
    scores = view_id @ view_content.T / temperature  # (B, B)
    # Row u of the scores is user u's ID stream against all content streams, so the right column is u.
    # Transposed, it is the content stream against all ID streams: the second logarithm of Eq. 1.
    itself = torch.arange(len(scores), device=scores.device)
    return equal_contribution(F.cross_entropy(scores, itself) + F.cross_entropy(scores.T, itself))


def _predict_next(states: Tensor, vectors: Tensor, allowed: Tensor, rows: Tensor) -> Tensor:
    """Cross-entropy of picking each row's own next item: states, vectors (S, B, D), allowed (S, B, B).

    `rows` (R,) are the numbers, among the S x B, of those that have one.
    """
    # (S, B, B): at each step, every user's state against every user's next item. What is not allowed gets
    # exp(-inf) = 0 in the sum of Eq. 2.
    scores = torch.einsum("sbd,scd->sbc", states, vectors).masked_fill(~allowed, -torch.inf)
    # Row s B + b of the S x B is user b at step s, whose own item stands in column b: the remainder.
    return F.cross_entropy(scores.flatten(0, 1).index_select(0, rows), rows % scores.shape[1])


def item_contrast(
    states: tuple[Tensor, Tensor],
    vectors: tuple[Tensor, Tensor],
    batch: WindowBatch,
    *,
    temperature: float,
    all_steps: bool = False,
    mask_duplicates: bool = False,
) -> Tensor:
    """Eq. 2: contrast of a stream's state at step l with the other stream's vector of the item at step l + 1.

    `states` are the unimodal outputs and `vectors` the items before position and encoder, each as
    (ID, content) of (B, L, D). Negatives are the other users' items at step l + 1, or all other items of the
    batch, the user's own among them. Example: for the windows 4 9 2 and 0 7 5, the state after 9 has the
    positive 2; its negative is 5, or with all steps 9, 7 and 5. Mean over all real steps that have a next
    item in the window, the two directions summed; 0 where no step has one.
    """
    inputs = gathered(batch.inputs)
    real = inputs != PADDING
    # The pairs (l, l + 1) of Eq. 2: states of steps 0…L-2 and items of steps 1…L-1, the step first, so that
    # the users of one step stand together.
    steps, items = real[:, :-1].T, inputs[:, 1:].T  # (L - 1, B); a real step has a real next item
    followed = real[:, 1:].T
    # Dividing the states by the temperature divides their inner products by it.
    anchors = [gathered(stream)[:, :-1].transpose(0, 1) / temperature for stream in states]  # (L - 1, B, D)
    next_vectors = [gathered(stream)[:, 1:].transpose(0, 1) for stream in vectors]
    rows = steps.flatten().nonzero().squeeze(1)  # once for both directions: `nonzero` waits for the GPU
    if len(rows) == 0:
        # A zero that depends on the weights: backward runs as for any other batch.
        return states[0].sum() * 0.0
    if all_steps:
        # All steps become one: S = 1, with (L - 1) B states and as many next items.
        flat = steps.numel()
        items, followed = (part.reshape(1, flat) for part in (items, followed))
        anchors = [anchor.reshape(1, flat, -1) for anchor in anchors]
        next_vectors = [vector.reshape(1, flat, -1) for vector in next_vectors]
    # (S, B, B): a next item counts where it is a real item, for whichever anchor.
    allowed = followed[:, None, :].expand(-1, items.shape[1], -1)
    if mask_duplicates:
        # One of the others may be the very item that comes next here. As a negative it would be pushed away
        # from the same state that the loss draws it to. Only the diagonal, the positive itself, stays.
        itself = torch.eye(items.shape[1], dtype=torch.bool, device=items.device)
        allowed = allowed & ((items[:, :, None] != items[:, None, :]) | itself)
    to_content = _predict_next(anchors[0], next_vectors[1], allowed, rows)
    to_id = _predict_next(anchors[1], next_vectors[0], allowed, rows)
    return equal_contribution(to_content + to_id)


def binary_cross_entropy(taken: Tensor, drawn: Tensor, power: float) -> Tensor:
    """-log(sigmoid(taken)^power) - sum of log(1 - sigmoid(drawn)): (P,), (P, K); mean over positions.

    With `power` 1 it is SASRec's loss, with `gbce_power` gSASRec's (arXiv 2308.07192, Eq. 9, not divided by
    K + 1: Adam does not feel the difference).
    """
    # softplus(-x) is -log sigmoid(x), and softplus(x) is -log(1 - sigmoid(x)), both without overflow.
    return contribution_to_mean(power * F.softplus(-taken) + F.softplus(drawn).sum(dim=1))


def bpr_max(taken: Tensor, drawn: Tensor, l2: float) -> Tensor:
    """-log of the probability that the next item outscores a drawn one, (P,) and (P, K) scores.

    Hidasi & Karatzoglou, CIKM 2018 (arXiv 1706.03847): drawn items are weighted by the softmax of their own
    scores, and so are their squares, times `l2`. Mean over positions.
    """
    log_weights = drawn.float().log_softmax(dim=1)  # (P, K)
    # Computed with logarithms: a probability below the smallest float32 would become 0, and its log infinite.
    beaten = torch.logsumexp(log_weights + F.logsigmoid(taken[:, None] - drawn), dim=1)
    return contribution_to_mean(l2 * (log_weights.exp() * drawn.square()).sum(dim=1) - beaten)


def gbce_power(negatives: int, item_count: int, calibration: float) -> float:
    """The power of the positive probability in gBCE, from the sampling rate (arXiv 2308.07192, Eq. 10)."""
    # The paper's alpha. A calibration t of 0 gives the power 1, plain BCE; 1 gives the rate itself. Example:
    # 99 negatives of 991 items are a rate of .1, and t = .5 gives .1 (.5 (1 - 10) + 10) = .55.
    rate = negatives / max(1, item_count - 1)
    return rate * (calibration * (1 - 1 / rate) + 1 / rate)
