"""Models of tiny sizes on a ring, where item i is always followed by item i + 1."""

import numpy as np
import pytest
import torch

from tssr.core.dataset import Histories
from tssr.model.batches import Windows
from tssr.model.materials import ContentFeatures, Materials
from tssr.model.registry import MODELS, from_content
from tssr.model.settings import TrainSettings

ITEM_COUNT, LENGTH, USERS = 8, 5, 24
SMALL = {"width": 16, "heads": 2, "feedforward_width": 16}
CPU = torch.device("cpu")

torch.set_num_threads(1)  # tensors here are tiny; more threads only wait for each other


def as_histories(lists, item_count=ITEM_COUNT):
    lengths = [len(items) for items in lists]
    ends = np.cumsum(lengths)
    flat = np.array([item for items in lists for item in items], dtype=np.int32)
    return Histories(flat, ends - lengths, ends, item_count)


@pytest.fixture(scope="session")
def histories_of():
    """Make histories from lists of items."""
    return as_histories


def ring_walk(start, steps):
    return [(start + step) % ITEM_COUNT + 1 for step in range(steps)]


@pytest.fixture
def ring():
    """Walks of two to eight actions from every start."""
    return as_histories([ring_walk(user, 2 + user % 7) for user in range(USERS)])


@pytest.fixture
def windows(ring):
    return Windows(ring, LENGTH, "all", CPU)


def one_hot_content(name, absent=()):
    vectors = torch.eye(ITEM_COUNT + 1)
    vectors[0] = 0
    present = torch.ones(ITEM_COUNT + 1, dtype=torch.bool)
    present[0] = False
    for item in absent:
        vectors[item], present[item] = 0, False
    return ContentFeatures(name, vectors, present)


@pytest.fixture
def build(ring):
    """`build("tssr", contents=2, dropout=0.3)`: a small model, the same for the same seed."""

    def built(name, contents=1, seed=1, train=ring, length=LENGTH, **changed):
        spec = MODELS[name]
        fields = spec.settings.model_fields
        unknown = set(changed) - set(fields)
        assert not unknown, f"{name} has no {unknown}"
        chosen = spec.settings(**{k: v for k, v in {**SMALL, **changed}.items() if k in fields})
        features = [one_hot_content("image"), one_hot_content("text", absent=[3])][:contents]
        counts = torch.from_numpy(train.counts())
        contents = features if spec.reads_content or from_content(chosen) else []
        materials = Materials(train.item_count, length, contents, train, counts)
        torch.manual_seed(seed)
        return spec.build(materials, chosen).eval()

    return built


@pytest.fixture
def training():
    """Settings of a short run on the CPU, in float32 whatever it has."""
    return TrainSettings(
        batch_size=16,
        learning_rate=1e-2,
        max_epochs=2,
        validate_every=1,
        device="cpu",
        precision="float32",
    )
