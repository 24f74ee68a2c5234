"""First weights that are drawn apart: the numbers of a seed, and nothing from the stream of the process."""

import threading

import pytest
import torch
from torch import nn

from tssr.model.materials import Materials
from tssr.model.random_state import DrawnApart
from tssr.model.registry import MODELS
from tssr.testing.contract import ITEM_COUNT, LENGTH, SMALL, one_hot_content, ring


def built(name):
    spec, train = MODELS[name], ring()
    settings = spec.settings(
        **{key: value for key, value in SMALL.items() if key in spec.settings.model_fields}
    )
    contents = [one_hot_content("image")] if spec.reads_content else []
    counts = torch.from_numpy(train.counts())
    return spec.build(Materials(ITEM_COUNT, LENGTH, contents, train, counts), settings)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_drawn_as_after_its_seed_and_leaves_the_stream_where_it_was(name):
    torch.manual_seed(5)
    expected = built(name)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with DrawnApart(5):
        apart = built(name)
    assert torch.equal(torch.get_rng_state(), before)
    if isinstance(apart, nn.Module):
        for (one, wanted), found in zip(
            expected.state_dict().items(), apart.state_dict().values(), strict=True
        ):
            assert torch.equal(found, wanted), one


def test_another_thread_draws_from_the_process_meanwhile():
    torch.manual_seed(7)
    wanted = torch.empty(3).uniform_()
    torch.manual_seed(7)
    found = torch.empty(3)
    with DrawnApart(5):
        thread = threading.Thread(target=found.uniform_)
        thread.start()
        thread.join()
        own = torch.empty(3).uniform_()
    assert torch.equal(found, wanted)
    assert torch.equal(own, torch.empty(3).uniform_(generator=torch.Generator().manual_seed(5)))
