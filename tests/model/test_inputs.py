import pytest
import torch

from tssr.model.inputs import ContentVectors
from tssr.model.materials import ContentFeatures
from tssr.model.settings import ReadingSettings

VECTORS = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 6.0], [0.0, 0.0], [100.0, 100.0]])
PRESENT = torch.tensor([False, True, True, False, True])
COUNTS = torch.tensor([0, 4, 1, 2, 0])  # item 4 has content but no train action


def test_missing_content_becomes_the_mean_of_train_items():
    filled = ContentFeatures("image", VECTORS, PRESENT).prepared(ReadingSettings(), COUNTS)
    assert filled[3].tolist() == [2.0, 4.0]
    assert filled[[0, 1, 2, 4]].tolist() == VECTORS[[0, 1, 2, 4]].tolist()
    assert not VECTORS[3].any()  # the store's own rows stay as they are


def test_missing_content_stays_zero_on_request():
    filled = ContentFeatures("image", VECTORS, PRESENT).prepared(ReadingSettings(missing="zero"), COUNTS)
    assert filled.tolist() == VECTORS.tolist()


def test_no_train_item_with_content_leaves_zeros():
    filled = ContentFeatures("image", VECTORS, PRESENT).prepared(ReadingSettings(), torch.zeros(5))
    assert filled[3].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rule", ["mean", "zero"])
def test_standard_scale_gives_train_items_mean_0_and_deviation_1(rule):
    settings = ReadingSettings(missing=rule, content_scale="standard")
    scaled = ContentFeatures("image", VECTORS, PRESENT).prepared(settings, COUNTS)
    assert scaled[1:3].tolist() == [[-1.0, -1.0], [1.0, 1.0]]
    assert scaled[4].tolist() == [98.0, 48.0]  # by the train items' mean 2, 4 and deviation 1, 2
    assert scaled[[0, 3]].tolist() == [[0.0, 0.0], [0.0, 0.0]]  # the mean is 0 now


def test_a_dimension_that_never_varies_stays_at_zero():
    constant = torch.tensor([[0.0], [5.0], [5.0], [0.0], [5.0]])
    settings = ReadingSettings(content_scale="standard")
    assert not ContentFeatures("image", constant, PRESENT).prepared(settings, COUNTS).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_cold_item_that_differs_where_no_train_item_does(dtype):
    vectors = torch.tensor([[0.0, 0.0], [0.4, 1.0], [0.4, 3.0], [0.0, 0.0], [0.8, 5.0]], dtype=dtype)
    settings = ReadingSettings(content_scale="standard")
    scaled = ContentFeatures("image", vectors, PRESENT).prepared(settings, COUNTS)
    assert scaled.tolist() == [[0, 0], [0, -1], [0, 1], [0, 0], [0, 3]]


def test_half_precision_features_keep_their_type_and_enter_as_float32():
    features = ContentFeatures("image", VECTORS.half(), PRESENT)
    content = ContentVectors(features, 3, ReadingSettings(), COUNTS)
    assert content.content.features.dtype == torch.float16
    assert content(torch.tensor([[1, 3]])).dtype == torch.float32


@pytest.mark.parametrize("rule", ["mean", "zero"])
def test_items_without_content_carry_a_learned_mark(rule):
    content = ContentVectors(
        ContentFeatures("image", VECTORS, PRESENT), 3, ReadingSettings(missing=rule), COUNTS
    )
    items = torch.tensor([[0, 1, 3]])
    before = content(items)
    with torch.no_grad():
        content.missing += 1.0
    torch.testing.assert_close(content(items) - before, torch.tensor([[[0.0] * 3, [0.0] * 3, [1.0] * 3]]))


def test_complete_content_has_no_mark():
    complete = ContentFeatures("image", VECTORS, torch.tensor([False, True, True, True, True]))
    assert ContentVectors(complete, 3, ReadingSettings(), COUNTS).missing is None
