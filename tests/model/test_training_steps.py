"""One step: the limit on the gradient, the rate, and memory that runs out."""

import pytest
import torch

from tssr.core.errors import TssrError
from tssr.model.training_steps import TrainingSteps

CPU = torch.device("cpu")


@pytest.fixture
def steps_of(build, ring, training):
    def made(**changed):
        model = build("sasrec-id", dropout=0)
        return TrainingSteps(model, model.samples(ring, "all", CPU), training.model_copy(update=changed))

    return made


def test_the_order_depends_on_the_seed_and_the_epoch(steps_of):
    orders = [
        tuple(steps_of(seed=seed)._numbers(step).tolist()) for seed in (1, 2, 1 << 30) for step in (0, 100)
    ]
    assert len(set(orders)) == len(orders)
    assert orders[0] == tuple(steps_of(seed=1)._numbers(0).tolist())


def test_each_process_draws_by_itself(steps_of, on_ranks):
    def drawn():
        steps_of()
        return torch.rand(4).tolist()

    first, *others = on_ranks(3, drawn)
    assert len({tuple(first), *map(tuple, others)}) == 3


def gradient_norm(model):
    return float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm())


def test_the_gradient_is_shortened_but_not_turned(steps_of):
    free, clipped, loose = (steps_of(clip_norm=norm) for norm in (0, 0.01, 1e6))
    for steps in (free, clipped, loose):
        steps.take(0)
    norm = gradient_norm(free.model)
    assert norm > 0.02
    assert gradient_norm(clipped.model) == pytest.approx(0.01, rel=1e-3)
    for ours, theirs in zip(clipped.model.parameters(), free.model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad * norm / 0.01, theirs.grad, rtol=1e-3, atol=1e-6)
    for ours, theirs in zip(loose.model.parameters(), free.model.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_the_step_is_taken_at_the_rate_of_the_schedule(steps_of):
    """Adam's first step moves each weight that has a gradient by the learning rate."""
    steps = steps_of(warmup_steps=4)
    before = steps.model.head.bias.detach().clone()
    steps.take(0)
    moved = (steps.model.head.bias.detach() - before).abs()
    assert moved.max().item() == pytest.approx(1e-2 / 4, rel=1e-3)


def broken_by(error):
    def losses(batch):
        raise error

    return losses


def really_too_much(batch):
    torch.empty(1 << 50)


def test_memory_that_runs_out_names_the_setting(steps_of):
    steps = steps_of()
    wanted = (
        r"memory at step 8; lower --batch-size \(now 16\); where that does not help, --length, --width, "
        "--softmax-sample or --drawn-negatives"
    )
    for losses, which in (
        (broken_by(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")), "GPU "),
        (broken_by(torch.AcceleratorError("CUDA error: out of memory")), "GPU "),
        (
            broken_by(
                RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
            ),
            "GPU ",
        ),
        (really_too_much, ""),
        (broken_by(MemoryError()), ""),
    ):
        steps.model.losses = losses
        with pytest.raises(TssrError, match="^out of " + which + wanted):
            steps.take(7)


def test_other_errors_are_not_taken_for_memory(steps_of):
    steps = steps_of()
    steps.model.losses = broken_by(RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        steps.take(0)
