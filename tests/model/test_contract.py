"""The contract of `tssr.testing` finds models that do not hold it; `test_every_model.py` has the others."""

from __future__ import annotations

import pytest
import torch

import tssr
from tssr.model.heads import item_head
from tssr.model.inputs import ItemVectors
from tssr.model.recommender import SequenceRecommender
from tssr.model.registry import MODELS
from tssr.testing import check_model


class Broken(SequenceRecommender):
    """The mean of the window; a fault is put into each of its children."""

    def __init__(self, materials, settings):
        super().__init__(materials.length)
        self.vectors = ItemVectors(materials.item_count, settings.width)
        self.head = item_head(materials, settings, self.vectors)

    def states(self, inputs):
        real = (inputs > 0).unsqueeze(-1)
        return (self.vectors(inputs) * real).cumsum(1) / real.cumsum(1).clamp(min=1)


class ReadsTheFuture(Broken):
    def states(self, inputs):
        return self.vectors(inputs).mean(dim=1, keepdim=True).expand(-1, inputs.shape[1], -1)


class ReadsItsNeighbours(Broken):
    def states(self, inputs):
        return super().states(inputs) + inputs.sum()


class DrawsAnew(Broken):
    def states(self, inputs):
        return super().states(inputs) + torch.rand(1)


class LeavesAParameter(Broken):
    def __init__(self, materials, settings):
        super().__init__(materials, settings)
        self.idle = torch.nn.Parameter(torch.zeros(2))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Broken, None),
        (ReadsTheFuture, "a later item is read too early"),
        (ReadsItsNeighbours, "Tensor-likes are not close"),
        (DrawsAnew, "."),
        (LeavesAParameter, "no gradient reaches idle"),
    ],
)
def test_a_fault_is_found(model, says):
    tssr.register_model("broken")(model)
    try:
        if says is None:
            check_model("broken")
        else:
            with pytest.raises(AssertionError, match=says):
                check_model("broken")
    finally:
        del MODELS["broken"]
