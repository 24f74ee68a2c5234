"""What every test folder may use: the command line in this process, and a small shop to run it on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from tssr.cli import main
from tssr.core.artifacts import write_json
from tssr.core.dataset import Queries
from tssr.core.errors import TssrError
from tssr.core.progress import note_once
from tssr.core.schema import ITEMS, ITEMS_FILE, MANIFEST_FILE
from tssr.core.workspace import WorkspaceFolders
from tssr.pipeline.compare.training_pool import TrainingPool

# Several workers of pytest-xdist share the cores: were each to compute on all of them, they would wait for
# one another. Torch, already loaded, is told; what the tests start reads the variable.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))

# A busy machine is no failure, and a change is not blamed for an input that nobody tried before: drawn
# inputs are the same at each run, but where TSSR_FUZZ asks for many new ones.
settings.register_profile("tssr", deadline=None, derandomize="TSSR_FUZZ" not in os.environ)
settings.load_profile("tssr")

# A shell without job control lets its background processes ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tssr.tests.processes"]  # the tests are a folder of the package

SLOW_SECONDS = 1200  # a test that is marked slow may take so long; pyproject.toml has the limit of the others
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items):
    """Give tests that are marked slow a limit of their own."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def tssr(capfd, monkeypatch, tmp_path):
    """Run `tssr …` in an empty folder; capfd takes what is printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TSSR_WORKSPACE", raising=False)

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        note_once.cache_clear()  # each command stands for a process of its own
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Path:
    """A raw H&M dump of 60 customers and 20 articles; article i is mostly followed by i + 1."""
    folder = tmp_path_factory.mktemp("shop")
    draw = np.random.default_rng(7)
    articles = [f"0{100000000 + i}" for i in range(20)]
    with (folder / "articles.csv").open("w") as file:
        file.write("article_id,prod_name,product_type_name,colour_group_name,detail_desc\n")
        for i, article in enumerate(articles):
            file.write(f"{article},Thing {i},Type {i % 4},Colour {i % 5},A thing of kind {i}.\n")
    with (folder / "transactions_train.csv").open("w") as file:
        file.write("t_dat,customer_id,article_id,price,sales_channel_id\n")
        for customer in range(60):
            item = int(draw.integers(20))
            for day in range(8):
                file.write(f"2020-01-{day + 1:02d},{customer:064x},{articles[item]},0.05,1\n")
                item = (item + 1) % 20 if draw.random() < 0.9 else int(draw.integers(20))
    for article in articles:
        path = folder / "images" / article[:3] / f"{article}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), tuple(int(c) for c in draw.integers(0, 255, 3))).save(path)
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real samples, which only some machines have."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real data samples are not on this machine")
    return SHARED / "data"


@pytest.fixture
def make_catalogue(tmp_path):
    """Write a data set of items alone, with texts and pictures (paths in the raw folder beside it)."""

    def make(texts=None, images=None, name="catalogue"):
        count = len(texts or images)
        raw = tmp_path / "raw"
        raw.mkdir(exist_ok=True)
        workspace = WorkspaceFolders(tmp_path / "workspace")
        folder = workspace.dataset(name)
        folder.mkdir(parents=True, exist_ok=True)
        numbers = list(range(1, count + 1))
        columns = [numbers, [f"id{n}" for n in numbers], texts or [None] * count, images or [None] * count]
        pq.write_table(pa.table(columns, schema=ITEMS), folder / ITEMS_FILE)
        write_json(folder / MANIFEST_FILE, {"raw": str(raw), "fingerprint": "abc"})
        return workspace, raw

    return make


@pytest.fixture(scope="session")
def bert(tmp_path_factory) -> Path:
    """A BERT folder of width 16 that knows five words, the letters and the digits."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    letters = [*string.ascii_lowercase, *string.digits]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "shirt", "shoes", "old"]
    words += letters + ["##" + letter for letter in letters]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=True).save_pretrained(folder)
    torch.manual_seed(0)
    # Started as widely as this, so few and narrow layers still tell one text from another.
    widths = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), initializer_range=0.5, **widths)).save_pretrained(folder)
    return folder


@pytest.fixture
def commands(monkeypatch):
    """Train in this process, which is faster; returns the commands that were given."""
    given = []

    def run(_self, label, command):
        given.append(command)
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                main(list(command)[1:])
            except SystemExit:
                raise TssrError(label) from None

    monkeypatch.setattr(TrainingPool, "_run", run)
    return given


def _brute_force(scores: NDArray, queries: Queries, mask: str, window: int, depth: float) -> NDArray:
    ranks = []
    histories = queries.histories
    for q, target in enumerate(queries.targets):
        history = histories.items[histories.starts[q] : histories.ends[q]].tolist()
        hidden = {"none": set(), "exempt": set(history[-window:]) - {target}, "hard": set(history)}[mask]
        goal = scores[q, target - 1]
        others = [s for i, s in enumerate(scores[q], start=1) if i != target and i not in hidden]
        rank = 1 + sum(s > goal for s in others) + 0.5 * sum(s == goal for s in others)
        unranked = target in hidden or goal == -np.inf or rank >= depth + 1
        ranks.append(np.nan if unranked else rank)
    return np.array(ranks)


@pytest.fixture(scope="session")
def brute_force() -> Callable[..., NDArray]:
    """Ranks by the definition, one query after another: exact scores (Q, N), queries, mask, window, depth."""
    return _brute_force
