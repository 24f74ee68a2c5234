"""One step: the limit on the gradient, the rate, and memory that runs out."""

import pytest
import torch

from tssr.core.errors import TssrError
from tssr.model.stepping import Stepping

CPU = torch.device("cpu")


@pytest.fixture
def stepping_of(build, ring, training):
    def made(**changed):
        model = build("sasrec-id", dropout=0)
        return Stepping(model, model.samples(ring, "all", CPU), training.model_copy(update=changed))

    return made


def test_the_order_depends_on_the_seed_and_the_epoch(stepping_of):
    orders = [
        tuple(stepping_of(seed=seed)._numbers(step).tolist()) for seed in (1, 2, 1 << 30) for step in (0, 100)
    ]
    assert len(set(orders)) == len(orders)
    assert orders[0] == tuple(stepping_of(seed=1)._numbers(0).tolist())


def test_each_process_draws_by_itself(stepping_of, on_ranks):
    def drawn():
        stepping_of()
        return torch.rand(4).tolist()

    first, *others = on_ranks(3, drawn)
    assert len({tuple(first), *map(tuple, others)}) == 3


def gradient_norm(model):
    return float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm())


def test_the_gradient_is_shortened_but_not_turned(stepping_of):
    free, clipped, loose = (stepping_of(clip_norm=norm) for norm in (0, 0.01, 1e6))
    for stepping in (free, clipped, loose):
        stepping.take(0)
    norm = gradient_norm(free.model)
    assert norm > 0.02
    assert gradient_norm(clipped.model) == pytest.approx(0.01, rel=1e-3)
    for ours, theirs in zip(clipped.model.parameters(), free.model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad * norm / 0.01, theirs.grad, rtol=1e-3, atol=1e-6)
    for ours, theirs in zip(loose.model.parameters(), free.model.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_the_step_is_taken_at_the_rate_of_the_schedule(stepping_of):
    """Adam's first step moves each weight that has a gradient by the learning rate."""
    stepping = stepping_of(warmup_steps=4)
    before = stepping.model.head.bias.detach().clone()
    stepping.take(0)
    moved = (stepping.model.head.bias.detach() - before).abs()
    assert moved.max().item() == pytest.approx(1e-2 / 4, rel=1e-3)


def broken_by(error):
    def losses(batch):
        raise error

    return losses


def really_too_much(batch):
    torch.empty(1 << 50)


def test_memory_that_runs_out_names_the_setting(stepping_of):
    stepping = stepping_of()
    wanted = (
        r"memory at step 8; lower --batch-size \(now 16\); where that does not help, --length, --width, "
        "--softmax-sample or --drawn-negatives"
    )
    for losses, which in (
        (broken_by(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")), "GPU "),
        (really_too_much, ""),
        (broken_by(MemoryError()), ""),
    ):
        stepping.model.losses = losses
        with pytest.raises(TssrError, match="^out of " + which + wanted):
            stepping.take(7)


def test_other_errors_are_not_taken_for_memory(stepping_of):
    stepping = stepping_of()
    stepping.model.losses = broken_by(RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        stepping.take(0)
