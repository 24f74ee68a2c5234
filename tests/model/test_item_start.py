"""Item vectors that start from content: likeness, scale, what stays random, and who cannot."""

import pytest
import torch

from tssr.core.errors import UsageError
from tssr.model.inputs import ItemVectors
from tssr.model.item_start import start_from_content
from tssr.model.materials import ContentFeatures, Materials
from tssr.model.principal_components import principal_components
from tssr.model.registry import MODELS

ITEMS, WIDTH = 40, 6
READERS = [name for name, spec in MODELS.items() if "item_start" in spec.settings.model_fields]


def content(name="image", dimensions=10, absent=(), seed=1):
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.arange(dimensions, 0, -1.0)
    vectors = torch.randn(ITEMS + 1, dimensions, generator=draw) * sizes + 5
    present = torch.ones(ITEMS + 1, dtype=torch.bool)
    present[[0, *absent]] = False
    return ContentFeatures(name, vectors * present[:, None], present)


def materials(*contents, counts=None):
    taken = torch.ones(ITEMS + 1, dtype=torch.int64) if counts is None else counts
    return Materials(ITEMS, 5, contents, None, taken)


def started(*contents, width=WIDTH, seed=3, counts=None):
    """The table before and after, (N + 1, D)."""
    torch.manual_seed(seed)
    part = ItemVectors(ITEMS, width)
    before = part.table.weight.detach().clone()
    start_from_content(part, materials(*contents, counts=counts))
    return before, part.table.weight.detach()


def test_rows_are_the_largest_components_at_the_scale_of_the_random_start():
    one = content()
    before, after = started(one)
    centred = (one.vectors[1:] - one.vectors[1:].mean(0)).double()
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    expected = (left * sizes)[:, :WIDTH]
    expected = expected * (before[1:].std() / expected.square().mean().sqrt())
    torch.testing.assert_close(after[1:].abs(), expected.abs().float(), rtol=1e-3, atol=1e-6)
    assert not after[0].any()
    assert after[1:].square().mean().sqrt() == pytest.approx(float(before[1:].std()), rel=1e-4)


def test_signs_do_not_depend_on_the_sign_of_what_a_library_gives(monkeypatch):
    _, usual = started(content())
    eigh = torch.linalg.eigh

    def turned(matrix):
        variances, directions = eigh(matrix)
        return variances, -directions

    monkeypatch.setattr(torch.linalg, "eigh", turned)
    assert torch.equal(started(content())[1], usual)


def test_items_without_content_and_columns_beyond_it_start_at_random():
    before, after = started(content(dimensions=4, absent=[3, 7]))
    kept = torch.tensor([3, 7])
    assert torch.equal(after[kept], before[kept])
    assert torch.equal(after[:, 4:], before[:, 4:])
    assert not torch.isclose(after[1, :4], before[1, :4]).any()


def test_train_items_alone_decide_the_directions():
    counts = torch.ones(ITEMS + 1, dtype=torch.int64)
    counts[30:] = 0
    one = content()
    moved = one.vectors.clone()
    moved[30:] *= 9
    _, usual = started(one, counts=counts)
    _, other = started(ContentFeatures("image", moved, one.present), counts=counts)
    scale = other[1, 0] / usual[1, 0]  # the scale is one number for all rows
    torch.testing.assert_close(other[1:30], usual[1:30] * scale, rtol=1e-4, atol=1e-7)
    assert other[30:].any(dim=1).all()


def test_content_types_count_alike_whatever_their_scale():
    small = content("text", 8, seed=2)
    large = ContentFeatures("text", small.vectors * 1000, small.present)
    usual, scaled = started(content(), small)[1], started(content(), large)[1]
    torch.testing.assert_close(scaled, usual, rtol=1e-3, atol=1e-6)


def test_nothing_to_start_from_is_told():
    with pytest.raises(UsageError, match="there are no content vectors; name them with --features"):
        started()
    alike = ContentFeatures("image", torch.ones(ITEMS + 1, 3), torch.ones(ITEMS + 1, dtype=torch.bool))
    with pytest.raises(UsageError, match="the content of all train items is the same"):
        started(alike)


@pytest.mark.parametrize("name", READERS)
def test_every_model_that_learns_item_vectors_takes_it(build, name):
    if name == "sasrec-content":
        with pytest.raises(UsageError, match="reads no learned item vectors; leave the option out"):
            build(name, item_start="content")
        return
    usual, changed = build(name), build(name, item_start="content")
    tables = {f"{part}.table.weight" for part, of in usual.named_modules() if isinstance(of, ItemVectors)}
    tables |= {"vectors"} if name == "bpr-mf" else set()
    assert tables
    for parameter, values in changed.named_parameters():
        assert torch.equal(values, usual.get_parameter(parameter)) != (parameter in tables), parameter
    again = build(name, item_start="content")
    for parameter in tables:
        assert torch.equal(again.get_parameter(parameter), changed.get_parameter(parameter))


def test_components_of_vectors_that_do_not_vary():
    variances, directions = principal_components(torch.zeros(5, 3))
    assert variances.tolist() == [0]
    assert directions.shape == (3, 1)
