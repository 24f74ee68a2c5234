"""What promises float32 keeps it, whatever the process as a whole allows."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from tssr.core.dataset import Histories, Queries, Split
from tssr.core.float32 import full_float32
from tssr.core.settings import resolve
from tssr.evaluation.ranking import RankingOptions, rank_targets
from tssr.evaluation.recommending import recommend
from tssr.evaluation.scoring import VectorScorer
from tssr.evaluation.search import exact_search
from tssr.features.content import SOURCE, content_key
from tssr.features.content_batch import Chunk
from tssr.features.encoder import ContentEncoder
from tssr.features.encoding import encode_chunks
from tssr.features.modality import MODALITIES
from tssr.features.settings import FeatureSettings
from tssr.features.store import KEY, KEY_TYPE
from tssr.model.blend import blend
from tssr.model.content import EncoderTraining, TrainedContent
from tssr.model.heads import ItemHead
from tssr.model.recommender import NeuralRecommender, SequenceRecommender
from tssr.model.settings import BlendSettings, TrainSettings
from tssr.model.training_steps import TrainingSteps
from tssr.pipeline.export.graphs import write_graphs
from tssr.pipeline.runs.representation import representation_probe
from tssr.pipeline.runs.scorer import scorer_of

ALLOWED = {
    "cuda.matmul": "tf32",
    "cudnn.conv": "tf32",
    "cudnn.rnn": "tf32",
    "mkldnn.matmul": "bf16",
    "mkldnn.conv": "bf16",
    "mkldnn.rnn": "bf16",
}


def switches():
    return {name: attrgetter(name)(torch.backends).fp32_precision for name in ALLOWED}


@pytest.fixture
def low_precision():
    """The whole process allows what it can, each switch by itself."""
    kept, legacy = switches(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    for name, precision in ALLOWED.items():
        attrgetter(name)(torch.backends).fp32_precision = precision
    yield
    torch.set_float32_matmul_precision(legacy)
    for name, precision in kept.items():
        attrgetter(name)(torch.backends).fp32_precision = precision


def test_nothing_is_rounded_inside_and_the_switches_stand_as_before_afterwards(low_precision):
    with full_float32():
        assert set(switches().values()) == {"ieee"}
        assert torch.get_float32_matmul_precision() == "medium"  # asking for the old switch is no error
    assert switches() == ALLOWED
    with pytest.raises(ZeroDivisionError), full_float32():
        1 / 0  # noqa: B018
    assert switches() == ALLOWED


def test_training_leaves_the_gru_of_a_gpu_as_it_is(low_precision):
    with full_float32(gpu_gru=False):
        assert {name for name, precision in switches().items() if precision != "ieee"} == {"cudnn.rnn"}
        with full_float32():
            assert set(switches().values()) == {"ieee"}


def test_the_last_of_several_threads_to_leave_puts_the_switches_back(low_precision):
    """Two trainings in threads of one process: the first to begin is the first to end."""
    first, second = full_float32(gpu_gru=False), full_float32()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(switches().values()) == {"ieee"}, "the second still computes"
    second.__exit__(None, None, None)
    assert switches() == ALLOWED


def test_a_graph_is_exported_whatever_the_process_allows(low_precision, tmp_path):
    """torch.export reads an old switch, which is an error where newer ones tell convolutions from GRUs."""
    torch.backends.cudnn.rnn.fp32_precision = "ieee"
    before = switches()
    with pytest.raises(RuntimeError, match="allow_tf32"):
        _ = torch.backends.cudnn.allow_tf32
    largest = write_graphs(torch.nn.Linear(2, 2), {"input": torch.ones(2, 2)}, ["y"], tmp_path / "graph")
    assert largest < 1e-6
    assert switches() == before


def test_the_old_switch_alone_is_enough_to_need_it():
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
        with full_float32():
            assert set(switches().values()) == {"ieee"}
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def toy():
    vectors = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    flat = np.array([1, 2, 3, 4], np.int32)
    histories = Histories(flat, np.array([0, 2]), np.array([2, 4]), len(vectors))
    queries = Queries(np.array([0, 1], np.int32), histories, np.array([5, 6], np.int32))
    seen = []

    def encode(lo, hi):
        seen.append(switches())
        return vectors[lo:hi]

    return queries, VectorScorer(encode, vectors, np.zeros(9, np.float32)), seen


@pytest.mark.parametrize("backend", ["faiss", "torch"])
def test_ranks_and_lists_ask_the_model_in_float32(low_precision, backend):
    queries, scorer, seen = toy()
    recommend(queries.histories, scorer, 3, backend=backend)
    rank_targets(queries, scorer, RankingOptions(backend=backend))
    assert len(seen) == 2
    assert all(set(each.values()) == {"ieee"} for each in seen)


def test_the_search_multiplies_in_float32(low_precision, monkeypatch):
    seen = []
    kept = torch.Tensor.topk

    def topk(self, *arguments):
        seen.append(switches())
        return kept(self, *arguments)

    monkeypatch.setattr(torch.Tensor, "topk", topk)
    vectors = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    scores, items = exact_search(vectors, "torch")(vectors[:50], 7)
    assert len(seen) == 1
    assert set(seen[0].values()) == {"ieee"}
    exact = vectors[:50].astype(np.float64) @ vectors.T.astype(np.float64)
    np.testing.assert_allclose(scores, np.take_along_axis(exact, items - 1, 1), rtol=1e-5)


class Probe(NeuralRecommender):
    """Notes the switches wherever it is asked for a product."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(9, 4))
        self.seen = {}

    def losses(self, batch):
        self.seen["losses"] = switches()
        return {"ce": self.weight.square().sum()}

    def encode_queries(self, queries, low, high):
        self.seen["encode_queries"] = switches()
        return self.weight[low:high]

    def items(self):
        self.seen["items"] = switches()
        return self.weight, self.weight[:, 0]


class Samples:
    count = transitions = 1

    def batch(self, numbers):
        return numbers


def test_a_step_of_training_is_float32_but_for_the_gru_of_a_gpu(low_precision):
    probe = Probe()
    TrainingSteps(probe, Samples(), TrainSettings(device="cpu", precision="float32")).take(0)
    assert {name for name, value in probe.seen["losses"].items() if value != "ieee"} == {"cudnn.rnn"}


def test_a_model_gives_states_and_items_in_float32(low_precision):
    probe, (queries, _, _) = Probe(), toy()
    scorer_of(probe, queries).encode(0, 2)
    assert set(probe.seen) == {"encode_queries", "items"}
    assert all(set(each.values()) == {"ieee"} for each in probe.seen.values())


def test_encoders_are_float32(low_precision, tmp_path):
    seen = []

    class Recorder(nn.Module):
        def forward(self, pixels):
            seen.append(switches())
            return pixels.float()

    (tmp_path / "a").write_bytes(b"a")
    content = pa.table({SOURCE: ["a"], KEY: pa.array([content_key(b"a")], KEY_TYPE)})
    encoder = ContentEncoder("recorder", 2, {}, lambda _: np.ones(2, np.uint8), Recorder())
    settings = FeatureSettings(modality=("image",), device="cpu", workers=0)
    chunks = [Chunk(0, np.array([0]))]
    image = MODALITIES["image"]
    encode_chunks(image, encoder, content, chunks, tmp_path, tmp_path, settings, lambda _: None)
    assert len(seen) == 1
    assert set(seen[0].values()) == {"ieee"}


def test_weights_of_a_blend_are_chosen_in_float32(low_precision):
    probes, (queries, _, _) = [Probe(), Probe()], toy()
    blend(probes, torch.zeros(10, dtype=torch.int64), resolve(BlendSettings, {})).choose(queries, ["a", "b"])
    for probe in probes:
        assert set(probe.seen) == {"encode_queries", "items"}
        assert all(set(each.values()) == {"ieee"} for each in probe.seen.values())


def test_alignment_and_uniformity_are_measured_in_float32(low_precision):
    class Views(SequenceRecommender):
        def __init__(self):
            super().__init__(length=2)
            self.head = ItemHead(9, 4)
            self.seen = []

        def item_views(self, items):
            self.seen.append(switches())
            return {"model": self.head.vectors(items)}

        def user_views(self, queries):
            return self.item_views(torch.tensor(queries.targets))

    model, (queries, _, _) = Views(), toy()
    split = Split(queries.histories, queries, queries)
    representation_probe(model, split, seed=1)()
    assert len(model.seen) == 2
    assert all(set(each.values()) == {"ieee"} for each in model.seen)


def test_vectors_of_a_trained_encoder_are_float32(low_precision):
    seen = []

    class Recorder(nn.Linear):
        def forward(self, inputs):
            seen.append(switches())
            return super().forward(inputs)

    how = EncoderTraining(1e-3, 0.0, chunk=2, train_batchnorm=False)
    contents = torch.tensor([-1, 0, 1, 2])
    content = TrainedContent(Recorder(1, 3), lambda wanted: (wanted[:, None].float(),), contents, 3, how)
    content.encode_all()
    assert len(seen) == 2  # three contents in chunks of two
    assert all(set(each.values()) == {"ieee"} for each in seen)
