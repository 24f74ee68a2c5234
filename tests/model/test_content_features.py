"""Encoders trained along: the gradient cache gives the numbers of the plain graph, whatever the chunk."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from tssr.core.errors import TssrError
from tssr.core.torchrun import current_world
from tssr.model.checkpoint import load_model, read_tensors, save_model
from tssr.model.content import EncoderTraining, TrainedContent, trained_contents
from tssr.model.content_scaling import ScaledContent, scalings_of
from tssr.model.gathering import own_part, sum_gradients
from tssr.model.materials import ContentFeatures, Materials, TrainableContent
from tssr.model.registry import MODELS
from tssr.model.settings import ReadingSettings
from tssr.model.training_steps import SHARE, TrainingSteps, parameter_groups

ITEMS, LENGTH, WIDTH, INPUT = 9, 4, 8, 5
RATE, DECAY = 1e-2, 0.1
HISTORIES = [[1, 2, 3, 4, 5], [2, 3, 3, 9, 1], [7, 8, 2, 1], [4, 9, 6, 5, 2]]
# Items 8 and 9 show one picture, item 6 has none.
CONTENTS = torch.tensor([-1, 0, 1, 2, 3, 4, -1, 5, 6, 6])


def small_encoder(dropout=0.0):
    torch.manual_seed(5)
    encoder = nn.Sequential(
        nn.Linear(INPUT, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(dropout), nn.Linear(6, 3)
    )
    for _ in range(3):
        encoder(torch.randn(12, INPUT))  # statistics that are not the start's
    return encoder.double()


def source(chunk, dropout=0.0, train_batchnorm=False):
    pictures = torch.randn(9, INPUT, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    asked = []

    def read(numbers):
        asked.append(numbers.tolist())
        return (pictures[numbers],)

    training = EncoderTraining(RATE, DECAY, chunk, train_batchnorm)
    made = TrainableContent("image", small_encoder(dropout), read, CONTENTS, 3, training)
    return made, asked


def built(name, histories_of, source, **changed):
    spec = MODELS[name]
    train = histories_of(HISTORIES, ITEMS)
    counts = torch.from_numpy(train.counts())
    wanted = {"width": WIDTH, "heads": 2, "dropout": 0.0, **changed}
    settings = spec.settings(
        **{key: value for key, value in wanted.items() if key in spec.settings.model_fields}
    )
    torch.manual_seed(1)
    model = spec.build(Materials(ITEMS, LENGTH, [source], train, counts), settings).double()
    return model, model.samples(train, "last", torch.device("cpu")).batch(torch.arange(len(HISTORIES)))


def step(model, batch, feed_back=True):
    """The loss and all gradients of one step."""
    model.zero_grad()
    model.train()
    torch.manual_seed(3)
    total = torch.stack(list(model.losses(batch).values())).sum()
    total.backward()
    for content in trained_contents(model) if feed_back else ():
        content.feed_back()
    return total.detach(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


class PlainGraph(nn.Module):
    """The oracle: every slot of a batch through the encoder at once, all in one graph."""

    def __init__(self, trained):
        super().__init__()
        self.encoder, self.width = trained.encoder, trained.width
        self.trained = (trained,)  # in a tuple, so that its weights are not registered twice

    def forward(self, items):
        encoder = self.encoder.train()
        encoder[1].eval()
        contents = CONTENTS[items].clamp(min=0)
        vectors = encoder(*self.trained[0]._read(contents.flatten())).view(*items.shape, -1)
        return vectors * (CONTENTS[items] >= 0).unsqueeze(-1)


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("name", ["tssr", "sasrec-content", "sasrec-hybrid", "fdsa", "mfn4rec", "mv-rnn"])
def test_loss_and_gradients_are_those_of_the_plain_graph(histories_of, name, chunk):
    cached, batch = built(name, histories_of, source(chunk)[0])
    plain, _ = built(name, histories_of, source(chunk)[0])
    for part in plain.modules():
        if isinstance(getattr(part, "content", None), TrainedContent):
            part.content = PlainGraph(part.content)
    loss, gradients = step(cached, batch)
    wanted_loss, wanted = step(plain, batch, feed_back=False)
    torch.testing.assert_close(loss, wanted_loss, rtol=1e-13, atol=1e-14)
    assert set(gradients) == set(wanted)
    for weight in wanted:
        torch.testing.assert_close(gradients[weight], wanted[weight], rtol=1e-11, atol=1e-13, msg=weight)
    assert any(gradients[weight].abs().max() > 1e-6 for weight in wanted if ".encoder." in weight)


@pytest.mark.parametrize("train_batchnorm", [False, True])
def test_dropout_draws_the_same_in_both_passes(histories_of, train_batchnorm, monkeypatch):
    """The oracle keeps every chunk's graph, and so needs no second pass."""
    made, _ = source(4, dropout=0.5, train_batchnorm=train_batchnorm)
    cached, batch = built("tssr", histories_of, made)
    kept, _ = built("tssr", histories_of, source(4, dropout=0.5, train_batchnorm=train_batchnorm)[0])
    loss, gradients = step(cached, batch)
    drawn_after = torch.rand(3)
    encode = TrainedContent._encode_chunk
    monkeypatch.setattr(
        TrainedContent, "_encode_chunk", lambda content, chunk, keep: encode(content, chunk, keep=True)
    )
    wanted_loss, wanted = step(kept, batch)
    assert torch.equal(loss, wanted_loss)
    assert torch.equal(drawn_after, torch.rand(3))
    for weight in wanted:
        torch.testing.assert_close(gradients[weight], wanted[weight], rtol=1e-11, atol=1e-13, msg=weight)
    counted = [
        dict(trained_contents(model)[0].encoder.named_buffers())["1.running_mean"] for model in (cached, kept)
    ]
    torch.testing.assert_close(*counted)  # statistics counted once, though encoded twice


def test_each_distinct_content_is_encoded_once_and_padding_never(histories_of):
    made, asked = source(3)
    model, batch = built("sasrec-content", histories_of, made)
    step(model, batch)
    seen = set(CONTENTS[batch.inputs].flatten().tolist()) - {-1}
    chunks = -(-len(seen) // 3)
    first, second = asked[:chunks], asked[chunks:]
    assert sorted(itertools.chain(*first)) == sorted(seen)
    assert second == first[-2::-1]  # the last chunk kept its activations
    assert max(map(len, asked)) == 3


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_chunks_that_keep_their_activations_are_encoded_once_and_change_nothing(histories_of, kept):
    made, asked = source(3, dropout=0.5)
    made = replace(made, training=replace(made.training, kept_chunks=kept))
    model, batch = built("tssr", histories_of, made)
    plain, _ = built("tssr", histories_of, source(3, dropout=0.5)[0])
    loss, gradients = step(model, batch)
    wanted_loss, wanted = step(plain, batch)
    assert torch.equal(loss, wanted_loss)
    for name, gradient in wanted.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-11, atol=1e-13, msg=name)
    chunks = -(-len({content for chunk in asked for content in chunk}) // 3)
    assert len(asked) == 2 * chunks - min(kept, chunks)


def test_what_fits_into_a_chunk_goes_through_the_encoder_once(histories_of):
    made, asked = source(100)
    model, batch = built("sasrec-content", histories_of, made)
    step(model, batch)
    assert len(asked) == 1


def test_evaluation_encodes_all_items_once_until_training_goes_on(histories_of):
    made, asked = source(3)
    model, batch = built("sasrec-content", histories_of, made)
    (content,) = trained_contents(model)
    model.eval()
    table = content.encode_all()
    expected = made.encoder.eval()(*made.read(torch.arange(7)))
    torch.testing.assert_close(table[1:6], expected[:5])
    assert not table[[0, 6]].any()
    assert torch.equal(table[8], table[9])
    asked.clear()
    assert torch.equal(content(torch.tensor([[0, 8], [2, 3]])), table[torch.tensor([[0, 8], [2, 3]])])
    assert asked == []
    step(model, batch)
    asked.clear()
    model.eval()
    content(torch.tensor([1]))
    assert sum(map(len, asked)) == 7


def test_encode_all_leaves_the_mode_as_it_was(histories_of):
    model, _ = built("sasrec-content", histories_of, source(3)[0])
    (content,) = trained_contents(model)
    model.train()
    before = [part.training for part in content.modules()]
    content.encode_all()
    assert [part.training for part in content.modules()] == before
    assert not content.encoder[1].training


def test_the_encoder_keeps_its_weights_when_the_model_draws_its_own(histories_of):
    model, _ = built("tssr", histories_of, source(3)[0])
    for one, other in zip(
        trained_contents(model)[0].encoder.parameters(), small_encoder().parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_the_encoder_has_rates_and_decay_of_its_own(histories_of):
    made, _ = source(3)
    made.encoder[0].requires_grad_(False)
    model, _ = built("tssr", histories_of, made)
    own, matrices, rest = parameter_groups(model, 1e-3)
    assert own[SHARE] == 1
    assert matrices[SHARE] == rest[SHARE] == pytest.approx(10)
    assert [tuple(weight.shape) for weight in matrices["params"]] == [(3, 6)]
    assert (matrices["weight_decay"], "weight_decay" in rest) == (DECAY, False)
    assert sorted(weight.numel() for weight in rest["params"]) == [3, 6, 6]


def test_vectors_that_are_not_finite_are_an_error(histories_of):
    model, _ = built("sasrec-content", histories_of, source(3)[0])
    (content,) = trained_contents(model)
    content.encoder[4].bias.data[0] = torch.nan
    with pytest.raises(
        TssrError, match=r"trained encoder gives vectors that are not finite; lower --encoder-lr"
    ):
        content.encode_all()


@pytest.mark.parametrize("scale", ["standard", "whiten"])
@pytest.mark.parametrize("name", ["sasrec-content", "tssr", "unisrec"])
def test_gradients_go_through_a_scaling_that_stays_as_it_was_at_the_start(histories_of, name, scale):
    cached, batch = built(name, histories_of, source(2)[0], content_scale=scale, softmax_sample=4)
    plain, _ = built(name, histories_of, source(2)[0], content_scale=scale, softmax_sample=4)
    for part in plain.modules():
        if isinstance(part, ScaledContent) and isinstance(part.content, TrainedContent):
            part.content = PlainGraph(part.content)
    loss, gradients = step(cached, batch)
    wanted_loss, wanted = step(plain, batch, feed_back=False)
    torch.testing.assert_close(loss, wanted_loss, rtol=1e-13, atol=1e-14)
    for weight in wanted:
        torch.testing.assert_close(gradients[weight], wanted[weight], rtol=1e-11, atol=1e-13, msg=weight)
    with torch.no_grad():
        before = trained_contents(cached)[0].encode_all()
        numbers = {key: number.clone() for key, number in scalings_of(cached)[0].named_buffers()}
        trained_contents(cached)[0].encoder[4].weight += 1.0
    cached.train()  # which forgets the vectors of the encoder as it was
    assert not torch.equal(before, trained_contents(cached)[0].encode_all())
    assert all(torch.equal(numbers[key], number) for key, number in scalings_of(cached)[0].named_buffers())


def test_scaling_takes_its_numbers_from_train_items_that_have_content(histories_of):
    made = source(2)[0]
    model, _ = built("sasrec-content", histories_of, made, content_scale="standard")
    train = [1, 2, 3, 4, 5, 7, 8, 9]  # all but item 6, which has no picture
    vectors = trained_contents(model)[0].encode_all()[train]
    (scaling,) = scalings_of(model)
    torch.testing.assert_close(scaling.mean, vectors.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scaling.deviation, vectors.std(0, correction=0), rtol=1e-5, atol=1e-6)
    model.eval()
    with torch.no_grad():
        read = next(part for part in model.modules() if isinstance(part, ScaledContent))(torch.arange(10))
    torch.testing.assert_close(read[train].mean(0), torch.zeros(3).double(), rtol=0, atol=1e-6)
    assert not read[[0, 6]].any(), "an item without a picture looks like the average one"


def test_numbers_of_given_vectors_take_the_place_of_the_encoders_own(histories_of):
    given = torch.randn(10, 3, generator=torch.Generator().manual_seed(4))
    made = replace(source(2)[0], untrained=given)
    model, _ = built("sasrec-content", histories_of, made, content_scale="standard")
    frozen = ContentFeatures("image", given, CONTENTS >= 0)
    counts = torch.from_numpy(histories_of(HISTORIES, ITEMS).counts())
    wanted = frozen.scaling(ReadingSettings(content_scale="standard"), counts)
    torch.testing.assert_close(scalings_of(model)[0].mean, wanted.mean.double())
    torch.testing.assert_close(scalings_of(model)[0].deviation, wanted.deviation.double())


def test_the_padding_is_not_absent():
    made, _ = source(3)
    assert made.absent.tolist() == [False] * 6 + [True] + [False] * 3


def test_memory_that_runs_out_names_the_chunk(histories_of, training):
    model, _ = built("tssr", histories_of, source(3)[0])
    windows = model.samples(histories_of(HISTORIES, ITEMS), "last", torch.device("cpu"))
    steps = TrainingSteps(model, windows, training)

    def losses(batch):
        raise MemoryError

    model.losses = losses
    wanted = r"out of memory at step 1; lower --encoder-chunk \(now 3\); where .* lower --batch-size"
    with pytest.raises(TssrError, match=wanted):
        steps.take(0)


def shared_step(histories_of, chunk, samples):
    """What a process asked its encoder for, the terms' sum and all gradients of a batch that is shared."""
    made, asked = source(chunk)
    model, _ = built("tssr", histories_of, made)
    numbers = torch.arange(len(HISTORIES))[:samples]
    windows = model.samples(histories_of(HISTORIES, ITEMS), "last", torch.device("cpu"))
    loss, _ = step_of_part(model, windows.batch(own_part(numbers)))
    sum_gradients(model)
    return {
        "asked": asked,
        "loss": float(current_world().sum(loss)),
        "gradients": {name: weight.grad.tolist() for name, weight in model.named_parameters()},
    }


def step_of_part(model, batch):
    """A step's own share; weights that it does not reach have no gradient."""
    model.train()
    total = torch.stack(list(model.losses(batch).values())).sum()
    total.backward()
    (content,) = trained_contents(model)
    content.feed_back()
    return total.detach(), content


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_distinct_contents_and_have_the_gradients_of_one(histories_of, on_ranks, world):
    """Four samples by three processes, and one sample, which leaves the others none."""

    def work():
        return [shared_step(histories_of, chunk, samples) for chunk in (1, 2, 100) for samples in (4, 1)]

    alone, together = work(), on_ranks(world, work)
    for index, one in enumerate(alone):
        ranks = [steps[index] for steps in together]
        first_pass = [set(itertools.chain(*rank["asked"])) for rank in ranks]
        assert set.union(*first_pass) == set(itertools.chain(*one["asked"]))
        assert sum(map(len, first_pass)) == len(set.union(*first_pass))  # no content by two processes
        for rank in ranks:
            assert rank["loss"] == pytest.approx(one["loss"], rel=1e-6)
            for name, wanted in one["gradients"].items():
                ours, theirs = torch.tensor(rank["gradients"][name]), torch.tensor(wanted)
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6, msg=name)


def test_processes_keep_equal_statistics_of_a_trained_batchnorm(histories_of, on_ranks):
    def work():
        model, batch = built("tssr", histories_of, source(100, train_batchnorm=True)[0])
        before = trained_contents(model)[0].encoder[1].running_mean.clone()
        _, content = step_of_part(model, batch)
        return (content.encoder[1].running_mean - before).tolist()

    first, second = on_ranks(2, work)
    assert first == second
    assert any(first)


@pytest.mark.parametrize("world", [2, 3, 8])
def test_processes_share_the_encoding_of_all_items(histories_of, on_ranks, world):
    """Seven contents, so that of eight processes one has nothing to encode."""

    def work():
        made, asked = source(2)
        model, _ = built("sasrec-content", histories_of, made)
        model.eval()
        table = trained_contents(model)[0].encode_all()
        return {"asked": list(itertools.chain(*asked)), "table": table.tolist()}

    alone, together = work(), on_ranks(world, work)
    assert sorted(itertools.chain(*(rank["asked"] for rank in together))) == list(range(7))
    assert max(len(rank["asked"]) for rank in together) == -(-7 // world)
    for rank in together:
        torch.testing.assert_close(torch.tensor(rank["table"]), torch.tensor(alone["table"]))


@pytest.mark.parametrize("chunk", [2, 3, 4, 6, 8])
def test_no_chunk_has_a_single_content_where_batchnorm_trains(histories_of, chunk):
    """Nine distinct contents, of which chunks of 2, 4 and 8 would leave a single one."""
    made, asked = source(chunk, train_batchnorm=True)
    made = replace(made, contents=torch.tensor([-1, 0, 1, 2, 3, 4, 5, 6, 7, 8]))
    model, batch = built("sasrec-content", histories_of, made)
    step(model, batch)
    sizes = sorted(len(contents) for contents in asked)
    assert sizes[0] >= 2
    assert sizes[-1] <= max(chunk, 3)
    assert len({content for contents in asked for content in contents}) == 9


def test_a_single_content_is_normalised_by_the_running_statistics(histories_of):
    """A batch of one window that shows one picture: in one row of a linear layer there is no spread."""
    model, batch = built("sasrec-content", histories_of, source(64, train_batchnorm=True)[0])
    fixed, _ = built("sasrec-content", histories_of, source(64)[0])
    alone = replace(batch, inputs=torch.where(batch.inputs > 0, 3, 0))
    (norm,) = [part for part in trained_contents(model)[0].encoder if isinstance(part, nn.BatchNorm1d)]
    before = norm.running_mean.clone()
    loss, gradients = step(model, alone)
    wanted_loss, wanted = step(fixed, alone)
    assert torch.equal(loss, wanted_loss)
    assert all(torch.equal(gradients[name], wanted[name]) for name in wanted)
    assert torch.equal(norm.running_mean, before)
    assert norm.training


def test_a_process_with_a_single_content_trains_along(histories_of, on_ranks):
    """Three contents by two processes: two for the first, one for the second."""

    def work():
        model, batch = built("sasrec-content", histories_of, source(64, train_batchnorm=True)[0])
        few = replace(batch, inputs=torch.where(batch.inputs > 3, 1, batch.inputs))
        loss, content = step_of_part(model, few)
        return {"finite": bool(loss.isfinite()), "mean": content.encoder[1].running_mean.tolist()}

    first, second = on_ranks(2, work)
    assert first["finite"]
    assert first == second


def test_frozen_weights_of_an_encoder_are_not_saved_and_not_asked_for(histories_of, tmp_path):
    """As with an adapter: the last layer alone trains, and the rest comes from the encoder's own files."""
    made, _ = source(3)
    made.encoder.requires_grad_(False)[4].requires_grad_(True)
    model, _ = built("sasrec-content", histories_of, made)
    save_model(tmp_path / "weights", model, {})
    saved, _ = read_tensors(tmp_path / "weights")
    kept = {name.split(".encoder.")[1] for name in saved if ".encoder." in name}
    buffers = {name for name, _ in made.encoder.named_buffers()}
    assert kept == {"4.weight", "4.bias", *buffers}
    (content,) = trained_contents(model)
    wanted = content.encoder[4].weight.clone()
    frozen = content.encoder[0].weight.clone()
    with torch.no_grad():
        content.encoder[4].weight.zero_()
    load_model(tmp_path / "weights", model)
    assert torch.equal(content.encoder[4].weight, wanted)
    assert torch.equal(content.encoder[0].weight, frozen)
