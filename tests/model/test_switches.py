"""Every switch of every model does something: a setting that is read by nobody would be found here."""

import numpy as np
import pytest
import torch

from tssr.core.dataset import Queries
from tssr.core.settings import as_options
from tssr.model.late_tssr import LateTSSR
from tssr.model.recommender import DenseRecommender, NeuralRecommender
from tssr.model.registry import MODELS

CPU = torch.device("cpu")

# Another value than the default, and what must be set besides for the switch to matter.
OTHERS = {
    "neighbours": [(1, {})],
    "shrink": [(100.0, {})],
    "decay": [(0.5, {})],
    "candidates": [(1, {})],
    "last_item": [("kept", {})],
    "width": [(8, {})],
    "l2": [(0.1, {})],
    "missing": [("zero", {})],
    "content_scale": [("standard", {}), ("whiten", {})],
    "whiten_rank": [(2, {"content_scale": "whiten"})],
    "dropout": [(0.5, {})],
    "head": [("tied", {}), ("table", {})],
    "item_start": [],  # test_item_start.py tries it on every model that has it
    "cold_share": [],  # test_rank_tssr.py tries it on items that nobody took
    "softmax_sample": [(3, {})],
    "softmax_sample_by": [("uniform", {"softmax_sample": 3}), ("popularity", {"softmax_sample": 3})],
    "layers": [(2, {})],
    "heads": [(1, {})],
    "blocks": [(1, {})],
    "feedforward_width": [(8, {})],
    "norm": [("pre", {}), ("post", {})],
    "input_norm": [(True, {}), (False, {})],
    "input_dropout": [(0.5, {})],
    "loss": [("bce", {}), ("gbce", {"loss": "bce"}), ("bpr-max", {"loss": "bce"})],
    "drawn_negatives": [(3, {"loss": "bce"})],
    "gbce_calibration": [(0.1, {"loss": "gbce"})],
    "bpr_max_l2": [(0.5, {"loss": "bpr-max"})],
    "crop_share": [(0.2, {})],
    "mask_share": [(0.9, {})],
    "reorder_share": [(0.0, {})],
    "lambda_view": [(1.0, {})],
    "tau_view": [(0.1, {})],
    "experts": [(2, {})],
    "adaptor_dropout": [(0.5, {})],
    "temperature": [(0.5, {})],
    "memory_width": [(8, {})],
    "cross_blocks": [(2, {})],
    "lambda_user": [(0.1, {})],
    "lambda_item": [(0.1, {})],
    "lambda_ce": [(2.0, {})],
    "lambda_stream": [(1.0, {})],
    "tau_user": [(1.0, {})],
    "tau_item": [(0.1, {})],
    "user_mean": [("all", {})],
    "negatives": [("all-steps", {})],
    "mask_duplicates": [(True, {})],
    "fusion": [("sum", {}), ("concat", {})],
    "separate_positions": [(True, {})],
    "shared_encoder": [(True, {})],
}
OF_THE_PIPELINE = {"length", "count_all"}  # they decide what a model is built from
# On eight items, each a direction of its own, these change nothing; test_rank_tssr.py tries them elsewhere.
WITHOUT_EFFECT_HERE = {
    ("rank-id", "candidates"),
    ("tssr-rank", "candidates"),
    ("tssr-rank", "content_scale", "whiten"),
}
FIXED = {("esasrec", "norm"), ("unisrec", "head")}  # what makes the model has one value

CASES = [
    pytest.param(name, field, value, context, id=f"{name} {as_options(context | {field: value})}")
    for name, spec in MODELS.items()
    for field in spec.settings.model_fields
    if field not in OF_THE_PIPELINE and (name, field) not in FIXED
    for value, context in OTHERS[field]
    if not {(name, field), (name, field, value)} & WITHOUT_EFFECT_HERE
    if value != context.get(field, spec.settings.model_fields[field].default)
]


def learned(build, ring, name, settings):
    """The losses of four steps and the answers after them."""
    model = build(name, contents=2, **settings)
    queries = Queries(np.arange(len(ring)), ring, np.ones(len(ring), np.int32))
    if isinstance(model, DenseRecommender) and not isinstance(model, NeuralRecommender):
        return [torch.from_numpy(model.scores(queries, 0, len(ring)))]
    if not isinstance(model, NeuralRecommender):
        (vectors, _), states = model.items(), model.encode_queries(queries, 0, len(ring))
        return [states @ vectors.T, torch.tensor(model.skips_last)]
    samples = model.samples(ring, "all", CPU)
    optimizer = torch.optim.Adam(model.train().parameters(), lr=0.05)
    torch.manual_seed(3)
    found = []
    for _ in range(4):
        optimizer.zero_grad()
        losses = model.losses(samples.batch(torch.arange(samples.count)))
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        optimizer.step()
        found.append(total.detach())
    # Weights that a switch adds shift the draws of all others: that they are used is told by their gradient.
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    if isinstance(model, LateTSSR):  # neighbours learn nothing, so no loss shows their switch
        model.blend.of_item.fill_(1)
        return [torch.stack(found), torch.from_numpy(model.eval().scores(queries, 0, len(ring)))]
    return [torch.stack(found)]


@pytest.mark.parametrize(("name", "field", "value", "context"), CASES)
def test_another_value_trains_another_model(build, ring, name, field, value, context):
    default = context.get(field, MODELS[name].settings.model_fields[field].default)
    assert value != default
    one = learned(build, ring, name, context)
    assert all(map(torch.equal, one, learned(build, ring, name, context))), "the same again is the same"
    other = learned(build, ring, name, context | {field: value})
    assert not all(map(torch.equal, one, other))
