"""Models of tiny sizes on a ring, where item i is always followed by item i + 1."""

import numpy as np
import pytest
import torch

from tssr.core.dataset import Histories
from tssr.core.torchrun import current_world
from tssr.model.batches import Windows
from tssr.model.settings import TrainSettings
from tssr.model.trainer import Trainer
from tssr.testing import contract
from tssr.testing.contract import CPU, ITEM_COUNT, LENGTH, small_model

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


@pytest.fixture
def ring():
    """Walks of two to eight actions from every start."""
    return contract.ring()


@pytest.fixture
def windows(ring):
    return Windows(ring, LENGTH, "all", CPU)


@pytest.fixture
def build():
    """`build("tssr", contents=2, dropout=0.3)`: a small model on the ring, the same for the same seed."""
    return lambda name, contents=1, seed=1, **given: small_model(name, seed, contents=contents, **given)


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


@pytest.fixture
def trainer_on():
    """A trainer of a model on samples, whose validation is the model's own cross-entropy on all of them."""

    def made(model, samples, settings, folder):
        batch = samples.batch(torch.arange(samples.count))

        @torch.no_grad()
        def likeness():
            return float(torch.exp(-current_world().sum(model.losses(batch)["ce"])))

        return Trainer(model, samples, settings, likeness, folder)

    return made
