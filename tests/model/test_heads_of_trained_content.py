"""Heads that score by the content of an encoder that trains along: with items encoded in each step, and with
a table that is encoded once an epoch (--refresh-items epoch)."""

import itertools

import pytest
import torch
from torch import nn

from tssr.core.torchrun import current_world
from tssr.model import trainer as trainer_module
from tssr.model import training_steps
from tssr.model.checkpoint import CHECKPOINT_FILE, MODEL_FILE, read_tensors
from tssr.model.content import EncoderTraining, trained_contents
from tssr.model.gathering import own_part, sum_gradients
from tssr.model.materials import Materials, TrainableContent
from tssr.model.registry import MODELS

ITEMS, LENGTH, INPUT, CONTENT = 9, 4, 5, 3
HISTORIES = [[1, 2, 3, 4, 5], [2, 3, 3, 9, 1], [7, 8, 2, 1], [4, 9, 6, 5, 2]]
# Items 8 and 9 show one picture, item 6 has none.
CONTENTS = torch.tensor([-1, 0, 1, 2, 3, 4, -1, 5, 6, 6])
PICTURES = torch.randn(7, INPUT, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
CPU = torch.device("cpu")


def built(name, histories_of, *, chunk=3, refresh=True, single=False, **changed):
    """A small model in float64 (float32 with `single`), what its encoder is asked for, and its samples."""
    asked = []

    def read(numbers):
        asked.append(numbers.tolist())
        return (PICTURES[numbers].float() if single else PICTURES[numbers],)

    torch.manual_seed(5)
    encoder = nn.Sequential(nn.Linear(INPUT, 6), nn.GELU(), nn.Linear(6, CONTENT)).double()
    how = EncoderTraining(1e-2, 0.0, chunk, train_batchnorm=False, refresh_items=refresh)
    source = TrainableContent("image", encoder, read, CONTENTS, CONTENT, how)
    train = histories_of(HISTORIES, ITEMS)
    spec = MODELS[name]
    wanted = {"width": 8, "heads": 2, "dropout": 0.0, "adaptor_dropout": 0.0, **changed}
    settings = spec.settings(
        **{key: value for key, value in wanted.items() if key in spec.settings.model_fields}
    )
    torch.manual_seed(1)
    counts = torch.from_numpy(train.counts())
    model = spec.build(Materials(ITEMS, LENGTH, [source], train, counts), settings)
    model = model.float() if single else model.double()
    return model, asked, model.samples(train, "last", CPU)


def step(model, batch, epoch=0):
    """The loss and all gradients of a step, whose epoch began with another encoder than it is now."""
    model.train()
    for content in trained_contents(model):
        content.begin_epoch(epoch)
        with torch.no_grad():
            for weight in content.encoder.parameters():
                weight.mul_(1.1)
    torch.manual_seed(3)
    total = torch.stack(list(model.losses(batch).values())).sum()
    total.backward()
    for content in trained_contents(model):
        content.feed_back()
    return total.detach(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


class PlainGraph(nn.Module):
    """The oracle: every slot through the encoder in one graph, except where a head has a table to read."""

    def __init__(self, encoder, table):
        super().__init__()
        self.encoder, self.width = encoder, CONTENT
        self.table = table
        self.in_head = False

    def forward(self, items):
        if self.in_head and self.table is not None:
            return self.table[items]
        vectors = self.encoder(PICTURES[CONTENTS[items].clamp(min=0)])
        return vectors * (CONTENTS[items] >= 0).unsqueeze(-1)


def with_plain_graph(model, monkeypatch, *, refresh):
    """Put the oracle in place of all content of `model`, and let it know when the head asks."""
    (content,) = trained_contents(model)
    with torch.no_grad():
        vectors = content.encoder(PICTURES[CONTENTS.clamp(min=0)]) * (CONTENTS >= 0).unsqueeze(-1)
        for weight in content.encoder.parameters():
            weight.mul_(1.1)
    plain = PlainGraph(content.encoder, vectors if refresh else None)
    for part in model.modules():
        if isinstance(getattr(part, "content", None), nn.Module):
            part.content = plain
    of_head = type(model.head).vectors

    def vectors_of(head, items=None):
        plain.in_head = True
        found = of_head(head, items)
        plain.in_head = False
        return found

    monkeypatch.setattr(type(model.head), "vectors", vectors_of)
    return model


OF_ALL = [
    ("tssr", {"head": "content"}),
    ("tssr", {"head": "table+content", "lambda_stream": 1.0}),
    ("sasrec-content", {"head": "tied"}),
    ("sasrec-hybrid", {"head": "tied"}),
    ("mv-rnn", {"head": "content"}),
    ("unisrec", {}),
]
OF_DRAWN = [
    ("tssr", {"head": "content", "softmax_sample": 3}),
    ("sasrec-content", {"head": "tied", "softmax_sample": 3}),
    ("sasrec-content", {"head": "table+content", "loss": "bce", "drawn_negatives": 2}),
]


@pytest.mark.parametrize("chunk", [2, 100])
@pytest.mark.parametrize(
    ("name", "changed", "refresh"),
    [*((*case, True) for case in OF_ALL), *((*case, False) for case in OF_DRAWN)],
)
def test_loss_and_gradients_are_those_of_the_plain_graph(
    histories_of, monkeypatch, name, changed, refresh, chunk
):
    """A table of the epoch's beginning has no graph; drawn items are encoded in the step, with a graph."""
    ours, _, samples = built(name, histories_of, chunk=chunk, refresh=refresh, **changed)
    batch = samples.batch(torch.arange(len(HISTORIES)))
    loss, gradients = step(ours, batch)
    plain, _, _ = built(name, histories_of, refresh=refresh, **changed)
    wanted_loss, wanted = step(with_plain_graph(plain, monkeypatch, refresh=refresh), batch)
    torch.testing.assert_close(loss, wanted_loss, rtol=1e-13, atol=1e-14)
    # The oracle holds its encoder under another name, in another part of the model.
    short = {name.split("encoder.")[-1]: gradient for name, gradient in gradients.items()}
    wanted = {name.split("encoder.")[-1]: gradient for name, gradient in wanted.items()}
    assert set(short) == set(wanted)
    for weight in wanted:
        torch.testing.assert_close(short[weight], wanted[weight], rtol=1e-11, atol=1e-13, msg=weight)
    assert short["2.weight"].abs().max() > 1e-8


def test_projections_of_the_head_train_and_the_table_stands_still(histories_of):
    model, _, samples = built("sasrec-content", histories_of, head="content")
    (content,) = trained_contents(model)
    _, gradients = step(model, samples.batch(torch.arange(len(HISTORIES))))
    assert gradients["head.inputs.0.project.weight"].abs().max() > 1e-6
    state = content.state_of_epoch()
    assert not state["table"].requires_grad
    before = state["table"].clone()
    step(model, samples.batch(torch.arange(len(HISTORIES))))
    assert torch.equal(content.state_of_epoch()["table"], before)
    step(model, samples.batch(torch.arange(len(HISTORIES))), epoch=1)
    assert not torch.equal(content.state_of_epoch()["table"], before)


def test_all_items_are_encoded_once_an_epoch_and_the_windows_each_step(histories_of):
    model, asked, samples = built("sasrec-content", histories_of, head="content", chunk=100)
    step(model, samples.batch(torch.arange(1)))
    assert [len(set(contents)) for contents in asked] == [7, 4]
    step(model, samples.batch(torch.arange(1)))
    assert len(asked) == 3


def test_an_epoch_takes_over_what_validation_encoded_at_the_end_of_the_one_before(histories_of):
    model, asked, samples = built("sasrec-content", histories_of, head="content", chunk=100)
    step(model, samples.batch(torch.arange(1)))
    model.eval()
    (content,) = trained_contents(model)
    as_it_is = content.encode_all()
    torch.testing.assert_close(model.head.vectors(), model.head.inputs[0].project(as_it_is[1:]))
    asked.clear()
    content.begin_epoch(1)
    assert asked == []
    assert torch.equal(content.state_of_epoch()["table"], as_it_is)


def test_an_encoder_is_one_part_of_the_model_however_many_read_it(histories_of):
    model, _, _ = built("tssr", histories_of, head="table+content")
    assert len(trained_contents(model)) == 1
    assert sum("encoder.2.weight" in name for name in model.state_dict()) == 1
    assert "inputs.1.content.encoder.2.weight" in model.state_dict()


@pytest.fixture
def trainer_of(histories_of, training, trainer_on):
    """A trainer of two steps an epoch, whose validation is the model's own cross-entropy."""

    def made(folder, head="content", **changed):
        folder.mkdir(exist_ok=True)
        model, _, samples = built("tssr", histories_of, single=True, head=head)
        settings = training.model_copy(update={"batch_size": 2, "max_epochs": 3, **changed})
        return trainer_on(model, samples, settings, folder)

    return made


def outcome(trainer):
    trainer.fit()
    return {name: weight.tolist() for name, weight in trainer.model.state_dict().items()}


def until_step(trainer, last):
    losses = trainer.model.losses

    def power_cut(batch):
        if trainer.model.training and trainer.state.step == last:
            raise RuntimeError("power cut")
        return losses(batch)

    trainer.model.losses = power_cut
    with pytest.raises(RuntimeError, match="power cut"):
        trainer.fit()


@pytest.mark.parametrize(("last", "world"), [(1, 1), (2, 1), (3, 1), (3, 2)])
def test_a_run_that_failed_within_an_epoch_goes_on_with_the_table_of_its_beginning(
    tmp_path, monkeypatch, trainer_of, on_ranks, last, world
):
    """Steps 0, 2 and 4 begin an epoch; step 3 reads a table that the encoder of step 3 would not give."""
    monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(trainer_module, "STEPS_BETWEEN_CHECKS", 1)

    def run(work):
        return [work()] if world == 1 else on_ranks(world, work)

    unbroken = run(lambda: outcome(trainer_of(tmp_path / "whole")))
    run(lambda: until_step(trainer_of(tmp_path / "broken"), last))
    saved, record = read_tensors(tmp_path / "broken" / CHECKPOINT_FILE)
    assert record["step"] == last
    assert saved["content.0.table"].shape == (ITEMS + 1, CONTENT)
    assert run(lambda: outcome(trainer_of(tmp_path / "broken"))) == unbroken


def test_the_kept_weights_hold_no_table(tmp_path, trainer_of):
    outcome(trainer_of(tmp_path / "run"))
    kept, _ = read_tensors(tmp_path / "run" / MODEL_FILE)
    assert not [name for name in kept if "table" in name.split(".")[-1] and "content" in name]


@pytest.mark.parametrize("case", [{"refresh": True}, {"refresh": False, "softmax_sample": ITEMS}])
def test_two_processes_have_the_table_and_the_gradients_of_one(histories_of, on_ranks, case):
    """Drawn items are each process's own draws, so their gradients differ from one process's by chance."""

    def work():
        model, asked, samples = built("sasrec-content", histories_of, head="content", **case)
        loss, _ = step(model, samples.batch(own_part(torch.arange(len(HISTORIES)))))
        sum_gradients(model)
        (content,) = trained_contents(model)
        return {
            "loss": float(current_world().sum(loss)),
            "asked": sorted(set(itertools.chain(*asked))),
            "table": [table.tolist() for table in content.state_of_epoch().values()],
            "gradients": {name: weight.grad.tolist() for name, weight in model.named_parameters()},
        }

    alone, (first, second) = work(), on_ranks(2, work)
    assert first["gradients"] == second["gradients"]
    assert sorted(first["asked"] + second["asked"]) == alone["asked"]
    if case["refresh"]:
        assert first["table"] == second["table"]
        torch.testing.assert_close(*(torch.tensor(each["table"][0]) for each in (first, alone)))
        assert first["loss"] == pytest.approx(alone["loss"], rel=1e-9)
        for name, wanted in alone["gradients"].items():
            ours = torch.tensor(first["gradients"][name])
            torch.testing.assert_close(ours, torch.tensor(wanted), rtol=1e-5, atol=1e-7, msg=name)


def test_compiling_leaves_the_table_of_a_resumed_epoch(tmp_path, trainer_of, monkeypatch):
    monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(trainer_module, "STEPS_BETWEEN_CHECKS", 1)
    until_step(trainer_of(tmp_path / "run"), 3)
    saved, _ = read_tensors(tmp_path / "run" / CHECKPOINT_FILE)
    resumed = trainer_of(tmp_path / "run", compile=True)
    tables = []

    def tried(_model, try_step):
        try_step()
        (content,) = resumed.training_steps.contents
        tables.append(content.state_of_epoch()["table"].clone())

    monkeypatch.setattr(training_steps, "compile_encoders", tried)
    resumed.fit()
    assert torch.equal(tables[0], saved["content.0.table"])


def test_a_head_of_ids_is_read_as_before(histories_of):
    model, asked, samples = built("tssr", histories_of, refresh=True, head="table", chunk=100)
    model.train()
    model.losses(samples.batch(torch.arange(1)))
    assert [len(contents) for contents in asked] == [4]
