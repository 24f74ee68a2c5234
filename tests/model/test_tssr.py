"""TSSR against its equations, and what each of its losses may touch."""

import pytest
import torch
import torch.nn.functional as F

from tssr.model.losses import item_contrast, user_contrast
from tssr.model.real_steps import RealSteps
from tssr.model.tssr import Gate

SHARED = ("inputs", "entrances", "unimodal")


@pytest.fixture
def batch(windows):
    return windows.batch(torch.arange(windows.count))


@torch.no_grad()
def test_the_gate_of_two_streams_is_the_papers_sigmoid():
    torch.manual_seed(0)
    gate = Gate(width=3, streams=2)
    x, y = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    share = torch.sigmoid(torch.cat([x, y], dim=-1) @ gate.weigh.weight.T + gate.weigh.bias)
    torch.testing.assert_close(gate([x, y]), share * x + (1 - share) * y)


@torch.no_grad()
def test_shares_of_three_streams_sum_to_one():
    torch.manual_seed(0)
    same = torch.randn(2, 4, 3)
    torch.testing.assert_close(Gate(width=3, streams=3)([same, same, same]), same)


@torch.no_grad()
def test_the_gates_shares_make_the_state_of_the_streams_as_the_model_merges_them(build, batch):
    model = build("tssr", dropout=0.0).eval()
    shares = model.gate_shares(batch.inputs)
    assert shares.shape == (*batch.inputs.shape, 2)
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones_like(shares[..., 0]))
    model.fusion.weigh.weight.zero_()
    model.fusion.weigh.bias.fill_(torch.logit(torch.tensor(0.8)))  # of stream 0, against the last one's 0
    assert model.gate_shares(batch.inputs)[..., 0].allclose(torch.tensor(0.8))
    assert build("tssr", fusion="sum").gate_shares(batch.inputs) is None


@torch.no_grad()
def test_one_content_stream_is_the_papers_model(build, batch):
    """Eq. 3 and the figure, written out for one ID and one content stream."""
    model = build("tssr", dropout=0.0, norm="post")
    inputs, steps = batch.inputs, RealSteps.of(batch.inputs)
    position = model.entrances[0].position.weight
    embedded_id = model.inputs[0].table.weight[inputs]
    embedded_content = model.inputs[1].content.features[inputs] @ model.inputs[1].project.weight.T
    embedded_content = embedded_content + model.inputs[1].project.bias
    encoded_id = model.unimodal[0](embedded_id + position, steps)
    encoded_content = model.unimodal[1](embedded_content + position, steps)
    x = model.cross[0](encoded_id, steps, [encoded_content])
    y = model.cross[1](encoded_content, steps, [encoded_id])
    share = torch.sigmoid(model.fusion.weigh(torch.cat([x, y], dim=-1)))
    merged = share * x + (1 - share) * y
    torch.testing.assert_close(model.states(inputs)[batch.real], merged[batch.real])

    real, targets = batch.real, batch.targets[batch.real]
    scores = merged[real] @ model.head.vectors().T + model.head.bias
    terms = model.losses(batch)
    expected = {
        "ce": torch.nn.functional.cross_entropy(scores, targets - 1),
        "user": user_contrast(encoded_id, encoded_content, real, model.settings.tau_user),
        "item": item_contrast(
            (encoded_id, encoded_content),
            (embedded_id, embedded_content),
            batch,
            temperature=model.settings.tau_item,
        ),
    }
    assert list(terms) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


def touched(model, term):
    """The top-level parts whose parameters a term has a gradient for."""
    model.zero_grad()
    term.backward(retain_graph=True)
    return {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}


@pytest.mark.parametrize("contents", [1, 2])
def test_contrasts_touch_the_unimodal_parts_alone(build, batch, contents):
    model = build("tssr", contents)
    terms = model.losses(batch)
    assert touched(model, terms["user"]) == set(SHARED)
    assert touched(model, terms["item"]) == set(SHARED)
    assert touched(model, terms["ce"]) == {*SHARED, "cross", "fusion", "head"}


def test_a_contrast_of_one_content_stream_does_not_touch_the_other(build, batch):
    model = build("tssr", 2)
    vectors, states = model.unimodal_states(batch.inputs, RealSteps.of(batch.inputs))
    loss = user_contrast(states[0], states[1], batch.real, 0.2)
    loss = loss + item_contrast((states[0], states[1]), (vectors[0], vectors[1]), batch, temperature=1.0)
    loss.backward()
    assert all(p.grad is None for part in (model.inputs[2], model.unimodal[2]) for p in part.parameters())


@pytest.mark.parametrize("term", ["user", "item"])
def test_weights_scale_their_term_and_zero_leaves_it_out(build, batch, term):
    name = f"lambda_{term}"
    base = build("tssr").losses(batch)
    assert term not in build("tssr", **{name: 0.0}).losses(batch)
    torch.testing.assert_close(build("tssr", **{name: 0.5}).losses(batch)[term], 0.5 * base[term])


def test_one_encoder_may_serve_all_streams(build, batch):
    model = build("tssr", 2, shared_encoder=True)
    assert (len(model.unimodal), len(model.cross)) == (1, 3)
    vectors, states = model.unimodal_states(batch.inputs, RealSteps.of(batch.inputs))
    steps = RealSteps.of(batch.inputs)
    for vector, state in zip(vectors, states, strict=True):
        torch.testing.assert_close(model.unimodal[0](model.entrances[0](vector), steps), state)


def test_each_stream_alone_predicts_the_next_item_on_request(build, batch):
    assert "stream" not in build("tssr").losses(batch)
    model = build("tssr", lambda_stream=0.5)
    _, states = model.unimodal_states(batch.inputs, RealSteps.of(batch.inputs))
    alone = [model.head(s[batch.real], batch.targets[batch.real]) for s in states]
    term = model.losses(batch)["stream"]
    torch.testing.assert_close(term, 0.5 * (alone[0] + alone[1]) / 2)
    assert touched(model, term) == {*SHARED, "head"}


def test_two_equal_content_streams_contrast_like_one(build, batch):
    """Contrasts are averaged over content streams, so their weight does not grow with the number."""
    model = build("tssr", 2)
    model.inputs[2].load_state_dict(model.inputs[1].state_dict() | {"missing": torch.zeros(16)})
    model.inputs[2].content.features.copy_(model.inputs[1].content.features)
    model.unimodal[2].load_state_dict(model.unimodal[1].state_dict())
    _, states = model.unimodal_states(batch.inputs, RealSteps.of(batch.inputs))
    single = user_contrast(states[0], states[1], batch.real, model.settings.tau_user)
    torch.testing.assert_close(model.losses(batch)["user"], single)


@pytest.mark.parametrize("fusion", ["gate", "sum", "concat"])
@pytest.mark.parametrize("cross_blocks", [0, 2])
@pytest.mark.parametrize("separate_positions", [False, True])
def test_ablations_run_and_train_every_parameter(build, batch, fusion, cross_blocks, separate_positions):
    changed = {"fusion": fusion, "cross_blocks": cross_blocks, "separate_positions": separate_positions}
    model = build("tssr", 2, **changed)
    torch.stack(list(model.losses(batch).values())).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert len(model.entrances) == (3 if separate_positions else 1)


def test_the_mean_over_all_steps_has_padding_in_it_and_changes_nothing_else(build, batch):
    assert not batch.real.all()
    model = build("tssr", user_mean="all", dropout=0.0)
    vectors, states = [vectors_of(batch.inputs) for vectors_of in model.inputs], []
    for vector, encoder in zip(vectors, model.unimodal, strict=True):
        entered = model.entrances[0](vector)
        encoded = encoder(entered, RealSteps.of(batch.inputs))
        for user, step in (~batch.real).nonzero().tolist():  # padding that is alone with itself
            alone = entered[user : user + 1, step : step + 1]
            encoded[user, step] = encoder(alone, RealSteps.of(torch.ones(1, 1)))[0, 0]
        states.append(encoded)
    users = [F.normalize(stream.mean(dim=1), dim=-1) for stream in states]
    scores = users[0] @ users[1].T / model.settings.tau_user
    itself = torch.arange(len(scores))
    terms = model.losses(batch)
    expected = F.cross_entropy(scores, itself) + F.cross_entropy(scores.T, itself)
    torch.testing.assert_close(terms["user"], expected)

    real = build("tssr", dropout=0.0).losses(batch)
    assert not torch.isclose(terms["user"], real["user"])
    for other in ("ce", "item"):
        torch.testing.assert_close(terms[other], real[other])


@pytest.mark.parametrize("choice", [{"negatives": "all-steps"}, {"mask_duplicates": True}])
def test_switches_of_the_item_contrast_reach_it(build, batch, choice):
    base, changed = build("tssr").losses(batch), build("tssr", **choice).losses(batch)
    assert changed["item"] != base["item"]
    assert changed["ce"] == base["ce"]
