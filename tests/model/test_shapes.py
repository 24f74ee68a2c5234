"""A library may keep code and memory of every shape it has seen, so products must not follow the batch."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tssr.model.batches import WindowBatch
from tssr.model.registry import MODELS
from tssr.model.shapes import MULTIPLE, filled, filler

NO_WINDOWS = ("bpr-mf", "rank-id", "tssr-rank")
CASES = {name: (name, {}) for name, spec in MODELS.items() if spec.trained and name not in NO_WINDOWS} | {
    "bce": ("sasrec-id", {"loss": "bce", "drawn_negatives": 2}),
    "sampled": ("sasrec-id", {"softmax_sample": 3}),
    "cl4srec": ("cl4srec", {"lambda_view": 0.0}),  # views are cut by chance
    "content head": ("tssr", {"head": "content"}),
}


class Products(TorchDispatchMode):
    """Notes the shapes of all matrix products, forward and backward."""

    def __init__(self):
        super().__init__()
        self.shapes = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm", "addmm_", "baddbmm"):
            self.shapes.add((name, *(tuple(arg.shape) for arg in args if isinstance(arg, torch.Tensor))))
        return func(*args, **(kwargs or {}))


def windows_of(real_steps, size=40, length=5):
    """Windows of items 1…8 with so many real steps in all."""
    whole, rest = divmod(real_steps, length)
    inputs = torch.zeros(size, length, dtype=torch.long)
    inputs[:whole] = torch.arange(length) + 1
    if rest:
        inputs[whole, -rest:] = 7
    return WindowBatch(inputs, (inputs + 1) * (inputs > 0), torch.zeros(size, dtype=torch.long))


@pytest.mark.parametrize("case", CASES)
def test_batches_of_the_same_multiple_have_the_same_products(build, case):
    name, changed = CASES[case]
    model = build(name, **changed).train()

    def shapes(real_steps):
        with Products() as products, torch.autocast("cpu", torch.bfloat16):
            losses = model.losses(windows_of(real_steps))
            torch.stack([term.float() for term in losses.values()]).sum().backward()
        return products.shapes

    assert shapes(MULTIPLE + 1)
    assert shapes(MULTIPLE + 1) == shapes(2 * MULTIPLE - 7) == shapes(2 * MULTIPLE)


def test_filler():
    assert [filler(count) for count in (0, 1, MULTIPLE, MULTIPLE + 1)] == [0, MULTIPLE - 1, 0, MULTIPLE - 1]
    rows = filled(torch.ones(3, 2))
    assert rows.shape == (MULTIPLE, 2)
    assert rows.sum() == 6
