"""Inputs of encoders from stores of sequences: numbered by length, padded no further than asked for."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tssr.features import stored_inputs
from tssr.features.stored_inputs import StoredInputs

LENGTHS = [4, 1, 3, 1, 2, 4]  # of rows 0…5, in tokens
ROWS = np.array([-1, 5, 0, 3, -1, 1, 2, 5])  # of items 0…7; row 4 is in no use
WIDTH = 3


def table(kind):
    """Token ids from 10 on and -1 behind them; or activations, the row's number from 1 and 0 behind it."""
    held = np.arange(4) < np.array(LENGTHS)[:, None]
    if kind == "tokens":
        return np.where(held, 10 + np.arange(4), -1).astype(np.int32)
    filled = held[:, :, None] * (1 + np.arange(6))[:, None, None] * np.ones(WIDTH)
    return filled.reshape(6, -1).astype(np.float16)


def opened(kind, device, monkeypatch):
    rows = table(kind)
    store = SimpleNamespace(rows=ROWS, gather=lambda wanted: rows[wanted])
    monkeypatch.setattr(stored_inputs, "open_store", lambda info: store)
    monkeypatch.setattr(stored_inputs, "_AT_ONCE", 2)
    shape = (4,) if kind == "tokens" else (4, WIDTH)
    info = SimpleNamespace(kind=kind, shape=shape, modality="text")
    return StoredInputs(info, torch.device(device))


@pytest.fixture(params=["tokens", "activations"])
def inputs(request, monkeypatch):
    return opened(request.param, "cpu", monkeypatch)


@pytest.mark.parametrize("kind", ["tokens", "activations"])
def test_numbers_and_inputs_lie_on_the_device_that_was_asked_for(kind, monkeypatch):
    """An encoder is put where `contents` are, before the model is whole and moves as one."""
    inputs = opened(kind, "meta", monkeypatch)
    given = inputs(torch.tensor([0, 1]))
    assert {each.device.type for each in (inputs.contents, *given)} == {"meta"}


def test_contents_are_numbered_by_length_and_each_item_keeps_its_own(inputs):
    _, mask = inputs(torch.arange(5))
    assert mask.sum(dim=1).tolist() == [1, 1, 3, 4, 4]
    assert inputs.contents[[0, 4]].tolist() == [-1, -1]
    with_content = inputs.contents[inputs.contents >= 0]
    _, mask = inputs(with_content)
    assert mask.sum(dim=1).tolist() == [LENGTHS[row] for row in ROWS if row >= 0]
    assert inputs.contents[1] == inputs.contents[7]


def test_a_chunk_is_padded_to_its_own_longest(inputs):
    states, mask = inputs(torch.tensor([0, 1]))
    assert mask.shape == (2, 1)
    assert states.shape[:2] == (2, 1)
    _, mask = inputs(torch.tensor([0, 2]))
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]


def test_activations_come_from_the_row_of_the_content(inputs):
    states, _ = inputs(inputs.contents[torch.tensor([1, 2, 3, 5, 6])])
    if states.dim() == 3:
        assert states[:, 0, 0].tolist() == [6, 1, 4, 2, 3]
