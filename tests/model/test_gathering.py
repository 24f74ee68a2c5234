"""N processes with B/N samples against one with B: every term of the loss and every gradient.

Walks have different lengths, so a mean of the processes' means would be another number; batches do not
divide evenly, and the smallest leaves a process without a sample.
"""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tssr.core.torchrun import current_world
from tssr.model.gathering import gathered, own_part, total_count
from tssr.model.negatives import Negatives
from tssr.model.registry import MODELS
from tssr.model.settings import TrainSettings
from tssr.model.softmax import ItemSample
from tssr.model.training_steps import TrainingSteps

CPU = torch.device("cpu")
CASES = {name: (name, {}) for name, spec in MODELS.items() if spec.trained} | {
    "tssr, each stream": ("tssr", {"lambda_stream": 0.5}),
    "tssr, all steps": ("tssr", {"negatives": "all-steps"}),
    "tssr, padding in the users": ("tssr", {"user_mean": "all"}),
    "tssr, no duplicates": ("tssr", {"negatives": "all-steps", "mask_duplicates": True}),
    "cl4srec, strong": ("cl4srec", {"lambda_view": 5.0}),
    "sasrec-id, bce": ("sasrec-id", {"loss": "bce", "drawn_negatives": 2}),
    "sasrec-id, sampled": ("sasrec-id", {"softmax_sample": 3}),
    "gru4rec, bpr-max": ("gru4rec", {"loss": "bpr-max", "drawn_negatives": 2}),
    "bpr-mf, l2": ("bpr-mf", {"l2": 0.1}),
}
SHARED = [(2, 7), (3, 2)]  # processes and samples of a batch: a short share, and none at all for the third


def without_chance(model):
    """What a model draws by chance it takes by rule: each process draws by itself."""
    if hasattr(model, "views"):
        token = model.mask_token
        model.views = lambda inputs: (inputs.where(inputs != 3, token), F.pad(inputs, (1, -1)))
    for part in model.modules():
        if isinstance(part, Negatives):
            part.draw = lambda users: users % 5 + 1
        elif isinstance(part, ItemSample):
            part.draw = lambda: (torch.tensor([1, 4, 6]), torch.tensor([0.0, 0.2, -0.1]))
    return model


def step_of(build, ring, case, size):
    """The terms and gradients of a step's batch, as plain numbers."""
    name, changed = CASES[case]
    dropout = {field: 0.0 for field in MODELS[name].settings.model_fields if field.endswith("dropout")}
    model = without_chance(build(name, contents=2, **dropout, **changed))
    settings = TrainSettings(batch_size=size, device="cpu", precision="float32")
    steps = TrainingSteps(model, model.samples(ring, "all", CPU), settings)
    losses = steps._backward(0)
    return {
        "terms": {term: float(current_world().sum(loss.detach())) for term, loss in losses.items()},
        "gradients": {weight: p.grad.tolist() for weight, p in model.named_parameters()},
    }


@pytest.mark.parametrize(("world", "size"), SHARED)
def test_processes_that_share_a_batch_have_the_loss_and_gradients_of_one(build, ring, on_ranks, world, size):
    def work():
        return {case: step_of(build, ring, case, size) for case in CASES}

    alone, together = work(), on_ranks(world, work)
    for process, (case, step) in product(together, alone.items()):
        assert process[case]["terms"] == pytest.approx(step["terms"], rel=1e-5), case
        for weight, gradient in step["gradients"].items():
            found = np.array(process[case]["gradients"][weight])
            np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-6, err_msg=f"{case}: {weight}")
    for case in alone:
        gradients = [process[case]["gradients"] for process in together]
        assert all(gradient == gradients[0] for gradient in gradients), "the weights would drift apart"


def test_rows_come_back_in_order_and_gradients_from_everybody(on_ranks):
    """Process r asks r + 1 times for each row, so each row's gradient is 1 + 2 + 3."""

    def work():
        numbers = own_part(torch.arange(7))
        rows = torch.stack([numbers, -numbers], dim=1).float().requires_grad_()
        everyone = gathered(rows)
        (everyone.sum() * (current_world().rank + 1)).backward()
        return [everyone.tolist(), rows.grad.tolist(), gathered(numbers > 3).tolist(), total_count(len(rows))]

    for rank, (everyone, gradient, flags, count) in enumerate(on_ranks(3, work)):
        assert everyone == [[n, -n] for n in range(7)]
        assert gradient == [[6.0, 6.0]] * (3 if rank == 0 else 2)
        assert flags == [n > 3 for n in range(7)]
        assert count == 7


def test_alone_nothing_is_touched():
    rows = torch.ones(3, 2)
    assert gathered(rows) is rows
    assert torch.equal(own_part(torch.arange(5)), torch.arange(5))
