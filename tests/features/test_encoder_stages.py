"""Encoders split into a frozen and a trained part: together they are the whole."""

import pytest
import torch

from tssr.core.errors import UsageError
from tssr.features.encoder_stages import first_trained, last_frozen, split_encoder, stage_names
from tssr.features.loading import load_encoder
from tssr.features.modality import EncoderChoice


def encoder(name):
    return load_encoder(EncoderChoice("image", name, "random", None, 30, 0)).module


@pytest.fixture(scope="module")
def resnet():
    return encoder("resnet18")


def test_the_stages_of_a_resnet_are_those_with_weights(resnet):
    assert stage_names(resnet) == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize("what", ["layer4", "last:1", "last:3", "bn1"])
def test_the_halves_give_what_the_whole_gives(resnet, what):
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    staged = split_encoder(resnet, first_trained(resnet, what)).eval()
    resnet.eval()
    with torch.no_grad():
        assert torch.equal(resnet(pixels), staged(pixels))


def test_only_the_upper_half_trains_and_the_lower_stays_in_evaluation_mode(resnet):
    staged = split_encoder(resnet, first_trained(resnet, "layer4")).train()
    assert {name for name, weight in staged.named_parameters() if weight.requires_grad} == {
        name for name, _ in staged.named_parameters() if name.startswith("upper.")
    }
    assert not any(part.training for part in staged.lower.modules())
    staged(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)).sum().backward()
    assert all((weight.grad is not None) == weight.requires_grad for weight in staged.parameters())


def test_names_say_the_first_that_trains_or_the_last_that_does_not(resnet):
    assert first_trained(resnet, "layer4") == last_frozen(resnet, "layer3") == last_frozen(resnet, "-1") == 5


@pytest.mark.parametrize("what", ["layer5", "last:0", "last:6", "last:", "conv1", "last:x", ""])
def test_what_names_no_stage_is_refused_with_those_there_are(resnet, what):
    with pytest.raises(UsageError, match=r"--unfreeze .*say all, last:N .* 1 to 5.*conv1, bn1"):
        first_trained(resnet, what)


@pytest.mark.parametrize("what", ["layer4", "nowhere", "-6"])
def test_until_names_a_stage_before_the_last(resnet, what):
    with pytest.raises(UsageError, match=r"--until "):
        last_frozen(resnet, what)


def test_a_model_that_is_no_plain_sequence_is_refused():
    module = encoder("shufflenet_v2_x0_5")
    with pytest.raises(UsageError, match=r"so it cannot be split; use --unfreeze all"):
        split_encoder(module, 3)
