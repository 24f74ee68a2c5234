"""The report's pieces against small known answers, and what a large catalogue may weigh."""

import base64
import doctest
import gzip
import importlib
import itertools
import json
import random

import numpy as np
import pytest
from PIL import Image

from tssr.pipeline.report.data_view import histogram_bins
from tssr.pipeline.report.gate_view import gate_view
from tssr.pipeline.report.item_names import ColourColumn, ItemNames
from tssr.pipeline.report.map_view import MapLayout, MapView, VectorSource, map_view
from tssr.pipeline.report.model_answers import GateShares
from tssr.pipeline.report.page import inline_json
from tssr.pipeline.report.thumbnails import make_thumbnails

MODULES = ("words", "data_view", "curves_view", "gate_view", "item_names", "svg", "page", "presentation")


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    failed, tried = doctest.testmod(importlib.import_module(f"tssr.pipeline.report.{name}"))
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize("counts", [[1], [5, 5, 5], [1, 2, 3, 700], list(range(1, 4000, 7)), [0, 0, 9]])
def test_a_histogram_counts_everybody_once_in_few_bars(counts):
    bars = histogram_bins(np.array(counts))
    assert sum(bar.count for bar in bars) == len(counts)
    assert len(bars) <= 32
    assert all(one.high + 1 == two.low for one, two in itertools.pairwise(bars))
    for bar in bars:
        assert bar.count == sum(bar.low <= count <= bar.high for count in counts)


def test_the_gates_shares_are_means_over_real_steps_of_an_item_group_and_of_a_place():
    windows = np.array([[0, 1, 2], [1, 2, 2]])  # item 1 was taken twice in training, item 2 thirty times
    first = np.array([[0.9, 0.2, 0.4], [0.6, 0.8, 0.1]])  # of stream 1; the padding's .9 counts nowhere
    shares = np.stack([first, 1 - first], axis=-1).astype(np.float32)
    view = gate_view(0, "TSSR", GateShares(["ids", "image"], windows, shares), np.array([0, 2, 30]))
    assert view.overall.shares == pytest.approx([2.1 / 5, 2.9 / 5])
    assert [(row.label, row.steps) for row in view.by_popularity] == [("1-4", 2), ("20+", 3)]
    assert view.by_popularity[0].shares[0] == pytest.approx(0.4)
    assert view.by_popularity[1].shares[0] == pytest.approx(1.3 / 3)
    assert [(row.label, row.steps) for row in view.by_place] == [
        ("newest", 2),
        ("2nd newest", 2),
        ("3rd newest", 1),
    ]
    assert view.by_place[2].shares[0] == pytest.approx(0.6)


def unpacked(view):
    return json.loads(gzip.decompress(base64.b64decode(view.packed())))


def test_the_map_lists_items_by_popularity_with_the_neighbours_of_their_vectors():
    draw = np.random.default_rng(0)
    group = np.arange(40) % 2
    vectors = np.eye(2, 6)[group] + 0.05 * draw.normal(size=(40, 6))
    counts = np.concatenate([[0], draw.permutation(40)])
    present = np.ones(40, bool)
    present[7] = False
    names = ItemNames([f"title {n}" for n in range(1, 41)], [str(n) for n in range(1, 41)], [None] * 40)
    column = ColourColumn("kind", ["even", "odd"], group.tolist())
    view = map_view([VectorSource("content", "text", vectors, present)], counts, names, [column], seed=1)
    record = unpacked(view)
    items = np.frombuffer(base64.b64decode(record["items"]), "<u4")
    popularity = np.frombuffer(base64.b64decode(record["popularity"]), "<u4")
    assert popularity.tolist() == sorted(counts[1:], reverse=True)
    assert np.array_equal(counts[items], popularity)
    assert record["titles"] == [f"title {item}" for item in items]
    (layout,) = record["layouts"]
    places = np.frombuffer(base64.b64decode(layout["places"]), "<u2").reshape(40, 2)
    assert [items[row] for row in np.flatnonzero(places[:, 0] == 65535)] == [8], "the item without content"
    near = np.frombuffer(base64.b64decode(layout["neighbours"]), "<u4").reshape(40, 8)
    for row, item in enumerate(items):
        if item == 8:
            assert not near[row].any()
        else:
            kinds = {group[items[place - 1] - 1] for place in near[row]}
            assert kinds == {group[item - 1]}
            assert item not in items[near[row] - 1]


def test_a_hundred_thousand_items_stay_below_five_megabytes():
    draw, words = np.random.default_rng(0), random.Random(0)
    vocabulary = [
        "".join(words.choices("abcdefghijklmnoprstuvw", k=words.randint(3, 9))) for _ in range(8000)
    ]
    count = 100_000
    titles = [" ".join(words.choices(vocabulary, k=6)) for _ in range(count)]
    layouts = [
        MapLayout(name, name, draw.integers(0, 65535, (count, 2)).astype(np.uint16),
                  draw.integers(1, count, (10_000, 8)), 5000)
        for name in ("ids", "content")
    ]  # fmt: skip
    columns = [ColourColumn("kind", ["a"] * 12, draw.integers(0, 12, count).tolist()) for _ in range(3)]
    popularity = np.sort(draw.zipf(1.5, count).clip(max=50_000))[::-1].tolist()
    view = MapView(draw.permutation(count) + 1, count, layouts, titles, popularity, columns)
    assert len(view.packed()) < 4.9e6
    assert len(view.reduced) == 3


def test_pictures_stop_at_the_budget_and_the_most_wanted_come_first(tmp_path):
    draw = np.random.default_rng(0)
    for item in range(1, 9):
        noise = draw.integers(0, 255, (112, 112, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{item}.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    names = ItemNames([""] * 9, [""] * 9, [f"{item}.png" for item in range(1, 9)] + [None])
    whole = make_thumbnails(tmp_path, names, [5, 3, 9, 1, 5, 2, 4])
    assert list(whole.pictures) == [5, 1, 2, 4]
    assert (whole.unreadable, whole.left_out) == (1, 0)
    one = len(base64.b64decode(whole.pictures[5]))
    few = make_thumbnails(tmp_path, names, [5, 3, 9, 1, 2, 4], budget=one + 1)
    assert list(few.pictures) == [5, 1]
    assert few.left_out == 2


def test_inline_json_reads_back_and_cannot_end_its_element():
    value = {"title": "</script><!-- \u2028 & 'quotes' \"double\"", "n": [1, None, True]}
    text = inline_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028") & set(text)
