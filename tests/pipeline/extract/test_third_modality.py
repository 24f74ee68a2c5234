"""A third kind of content is one class and one name in the registry: every stage takes it from there."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch import nn

import tssr
from tssr.features.content import CONTENT, SOURCE, content_key
from tssr.features.content_batch import ContentBatch
from tssr.features.encoder import ContentEncoder
from tssr.features.modality import MODALITIES, Modality
from tssr.features.store import list_stores, open_store

BAD = "no number"


class Numbers(Modality):
    """A column of numbers, each encoded as its sine and cosine."""

    name = "numbers"
    noun = "numbers"
    column = "length"  # the source's own, which preprocess keeps as text
    inputs = "values"
    encoders = "circle"
    default_encoder = "circle"
    absent = (BAD,)

    def scan(self, items, raw, previous):
        texts = items[self.column].to_pylist()
        keys = [content_key(text.encode()) if text else None for text in texts]
        reasons = [None if text else BAD for text in texts]
        nothing = [None] * len(texts)
        return pa.table([texts, nothing, nothing, keys, reasons, nothing], schema=CONTENT)

    def cure(self, raw, reasons):
        return "measure them"

    def batches(self, content, chunks, raw, prepare, options):
        for chunk in chunks:
            values = [prepare(content[SOURCE][int(member)].as_py()) for member in chunk.members]
            yield ContentBatch(chunk.number, list(range(len(values))), (torch.tensor(values),), [])

    def load_encoder(self, choice):
        return ContentEncoder(choice.encoder, 2, {"weights": "none"}, float, Circle())

    def load_inputs(self, choice):
        key = {"material": "values"}
        return ContentEncoder("values", 1, key, float, Column(), "values", "float32", (1,))

    def largest(self, choice):
        return (torch.zeros(1),)

    def kept(self, choice, module):
        return module, None


class Circle(nn.Module):
    def forward(self, values):
        return torch.stack([values.sin(), values.cos()], dim=1)


class Column(nn.Module):
    def forward(self, values):
        return values.unsqueeze(1)


@pytest.fixture
def shop(monkeypatch, tmp_path):
    monkeypatch.setitem(MODALITIES, "numbers", Numbers())
    actions = [(f"u{user}", f"i{(user + step) % 6}", step) for user in range(12) for step in range(5)]
    lengths = ["0.5", "1.5", "0.5", "", "2.5", "3.5"]
    items = pl.DataFrame({"sku": [f"i{number}" for number in range(6)], "length": lengths})
    return tssr.Workspace(tmp_path / "workspace").preprocess(
        interactions=pl.DataFrame(actions, schema=["who", "sku", "when"], orient="row"),
        items=items,
        user="who",
        item="sku",
        time="when",
    )


def test_it_is_extracted_trained_and_evaluated(shop):
    made = shop.extract_features("numbers", dtype="float32")
    assert "1 of 6 numbers missing" in repr(made)
    (store,) = list_stores(shop.folder.parents[1] / "features" / shop.name)
    assert (store.modality, store.encoder) == ("numbers", "circle")
    vectors, present = open_store(store).item_features()
    assert present.tolist() == [False, True, True, True, False, True, True]
    assert vectors[1] == pytest.approx([np.sin(0.5), np.cos(0.5)])
    sizes = {"width": 4, "blocks": 1, "heads": 1, "length": 4, "max_epochs": 1, "device": "cpu"}
    run = shop.train("sasrec-content", features=("numbers",), **sizes)
    assert run.evaluate(topk=[3])["ndcg@3"][0] > 0


def test_what_its_encoders_read_is_stored_under_its_own_name(shop):
    shop.extract_features("numbers", inputs=True)
    (store,) = list_stores(shop.folder.parents[1] / "features" / shop.name)
    assert (store.kind, store.modality) == ("values", "numbers")
    vectors, _ = open_store(store).item_features()
    assert vectors[:, 0].tolist() == [0, 0.5, 1.5, 0.5, 0, 2.5, 3.5]


def test_where_there_is_none_it_says_what_to_do(shop, monkeypatch):
    monkeypatch.setattr(Numbers, "column", "item_id")
    monkeypatch.setattr(Numbers, "scan", lambda self, items, raw, previous: nothing_in(items))
    with pytest.raises(tssr.DataError, match=r"none of the 6 items has usable numbers \(6 no .*measure them"):
        shop.extract_features("numbers")


def nothing_in(items):
    nothing = [None] * len(items)
    return pa.table([nothing, nothing, nothing, nothing, [BAD] * len(items), nothing], schema=CONTENT)


def test_a_modality_that_there_is_not_is_refused_with_the_nearest(shop):
    with pytest.raises(tssr.UsageError, match=r"unknown modality 'number'; did you mean numbers\? There are"):
        shop.extract_features("number")
