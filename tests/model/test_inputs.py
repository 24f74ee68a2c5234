import pytest
import torch

from tssr.model.inputs import ContentFeatures, ContentVectors

VECTORS = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 6.0], [0.0, 0.0], [100.0, 100.0]])
PRESENT = torch.tensor([False, True, True, False, True])
COUNTS = torch.tensor([0, 4, 1, 2, 0])  # item 4 has content but no train action


def test_missing_content_becomes_the_mean_of_train_items():
    filled = ContentFeatures("image", VECTORS, PRESENT).filled("mean", COUNTS)
    assert filled[3].tolist() == [2.0, 4.0]
    assert filled[[0, 1, 2, 4]].tolist() == VECTORS[[0, 1, 2, 4]].tolist()
    assert not VECTORS[3].any()  # the store's own rows stay as they are


def test_missing_content_stays_zero_on_request():
    filled = ContentFeatures("image", VECTORS, PRESENT).filled("zero", COUNTS)
    assert filled.tolist() == VECTORS.tolist()


def test_no_train_item_with_content_leaves_zeros():
    filled = ContentFeatures("image", VECTORS, PRESENT).filled("mean", torch.zeros(5))
    assert filled[3].tolist() == [0.0, 0.0]


def test_half_precision_features_keep_their_type_and_enter_as_float32():
    features = ContentFeatures("image", VECTORS.half(), PRESENT)
    content = ContentVectors(features, 3, "mean", COUNTS)
    assert content.features.dtype == torch.float16
    assert content(torch.tensor([[1, 3]])).dtype == torch.float32


@pytest.mark.parametrize("rule", ["mean", "zero"])
def test_items_without_content_carry_a_learned_mark(rule):
    content = ContentVectors(ContentFeatures("image", VECTORS, PRESENT), 3, rule, COUNTS)
    items = torch.tensor([[0, 1, 3]])
    before = content(items)
    with torch.no_grad():
        content.missing += 1.0
    torch.testing.assert_close(content(items) - before, torch.tensor([[[0.0] * 3, [0.0] * 3, [1.0] * 3]]))


def test_complete_content_has_no_mark():
    complete = ContentFeatures("image", VECTORS, torch.tensor([False, True, True, True, True]))
    assert ContentVectors(complete, 3, "mean", COUNTS).missing is None
