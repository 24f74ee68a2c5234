import io
import urllib.error

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torchvision import models

from tssr.core.errors import UsageError
from tssr.features.loading import load_encoder
from tssr.features.modality import EncoderChoice
from tssr.features.torchvision_encoder import classification_models, published_weights, take_head_off


def choice(encoder="squeezenet1_1", weights="random", seed=0):
    return EncoderChoice("image", encoder, weights, None, 30, seed)


def png(seed=0, size=(80, 70)):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(5)
    return models.squeezenet1_1(weights=None).state_dict()


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("resnet18", 512),
        ("squeezenet1_1", 512),
        ("vgg11", 4096),
        ("mobilenet_v3_small", 1024),
        ("efficientnet_b0", 1280),
        ("vit_b_16", 768),
        ("convnext_tiny", 768),
        ("swin_t", 768),
        ("densenet121", 1024),
        ("shufflenet_v2_x0_5", 1024),
    ],
)
def test_the_last_layer_is_taken_off_every_kind_of_model(name, width):
    with torch.device("meta"):
        model = models.get_model(name, weights=None)
        assert take_head_off(model)[1] == width
        assert model.eval()(torch.zeros(2, 3, 224, 224)).flatten(1).shape == (2, width)


def test_the_vector_is_what_the_classifier_sees(state, tmp_path):
    """An oracle by torchvision alone: the weights' own transform, the features, their mean."""
    torch.save(state, tmp_path / "weights.pth")
    encoder = load_encoder(choice(weights=str(tmp_path / "weights.pth")))
    original = models.squeezenet1_1(weights=None).eval()
    original.load_state_dict(state)
    transform = models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()
    contents = [png(seed) for seed in range(2)]
    images = torch.stack([transform(Image.open(io.BytesIO(content))) for content in contents])
    with torch.inference_mode():
        expected = original.features(images).mean(dim=(2, 3))
        pixels = torch.from_numpy(np.stack([encoder.prepare(content) for content in contents]))
        torch.testing.assert_close(encoder.module(pixels), expected, rtol=1e-4, atol=1e-5)
    assert encoder.dimension == expected.shape[1] == 512


def test_equal_weights_have_an_equal_key_whatever_the_file(state, tmp_path):
    torch.save(state, tmp_path / "a.pth")
    safetensors.torch.save_file(state, tmp_path / "b.safetensors")
    other_classes = dict(state)
    other_classes["classifier.1.weight"] = torch.zeros(7, 512, 1, 1)
    other_classes["classifier.1.bias"] = torch.zeros(7)
    torch.save(other_classes, tmp_path / "c.pth")
    keys = [load_encoder(choice(weights=str(path))).key for path in sorted(tmp_path.iterdir())]
    assert keys[0] == keys[1] == keys[2]
    changed = dict(state)
    changed["features.0.bias"] = state["features.0.bias"] + 1
    torch.save(changed, tmp_path / "d.pth")
    assert load_encoder(choice(weights=str(tmp_path / "d.pth"))).key["weights"] != keys[0]["weights"]


def test_random_weights_are_seeded_and_said_loudly(capsys):
    before = torch.random.get_rng_state()
    keys = [load_encoder(choice(seed=seed)).key for seed in (3, 3, 4)]
    assert keys[0] == keys[1] != keys[2]
    assert torch.equal(before, torch.random.get_rng_state())
    assert "squeezenet1_1 is untrained (seed 3)" in capsys.readouterr().err


def test_every_listed_model_is_a_classification_model():
    names = classification_models()
    assert {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"} <= set(names)
    assert not [name for name in names if "rcnn" in name or "quantized" in name]


def test_an_unknown_encoder_names_close_ones():
    with pytest.raises(UsageError, match=r"--encoder resnet5O: torchvision has no such .*resnet50"):
        load_encoder(choice("resnet5O"))


def test_unknown_weights_name_those_there_are():
    with pytest.raises(
        UsageError, match=r"--weights V9: neither a file nor published for resnet50 \(IMAGENET1K_V1, "
    ):
        load_encoder(choice("resnet50", "V9"))


@pytest.mark.parametrize("problem", [urllib.error.URLError("no network"), RuntimeError("invalid hash value")])
def test_no_network_says_what_to_pass_instead(monkeypatch, problem):
    def fail(*_, **__):
        raise problem

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(
        UsageError, match=r"weights IMAGENET1K_V2 of resnet50 are not at .*resnet50-11ad3fa6.pth"
    ) as caught:
        load_encoder(choice("resnet50", "IMAGENET1K_V2"))
    assert "--weights FILE" in str(caught.value)
    assert "--weights random" in str(caught.value)


def test_by_default_the_papers_weights_and_transform_are_taken():
    weights = published_weights(choice("resnet50", None))
    assert weights.name == "IMAGENET1K_V1"
    assert (weights.transforms().resize_size, weights.transforms().crop_size) == ([256], [224])


def test_a_state_dict_of_another_model_says_what_does_not_fit(state, tmp_path):
    torch.save(models.resnet18(weights=None).state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(UsageError, match=r"not for this --encoder: lacks features.0.weight; .* more$"):
        load_encoder(choice(weights=str(tmp_path / "resnet.pth")))
    state = dict(state)
    state["features.0.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "shape.pth")
    with pytest.raises(UsageError, match=r"features.0.bias is \(3,\), not \(64,\)$"):
        load_encoder(choice(weights=str(tmp_path / "shape.pth")))


def test_files_that_hold_no_state_dict_are_refused(state, tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(UsageError, match=r"text.pth: no readable state dict \("):
        load_encoder(choice(weights=str(tmp_path / "text.pth")))
    torch.save({"weights of": state, "epoch": 3}, tmp_path / "more.pth")
    with pytest.raises(
        UsageError, match=r"more.pth: holds more than a state dict; save model.state_dict\(\) alone"
    ):
        load_encoder(choice(weights=str(tmp_path / "more.pth")))


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


def test_no_code_of_a_weights_file_runs(tmp_path, capsys):
    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UsageError, match=r"no readable state dict \(it holds more than tensors") as caught:
        load_encoder(choice(weights=str(tmp_path / "evil.pth")))
    assert "weights_only" not in str(caught.value), "torch advises to let the code run"
    assert "code ran" not in capsys.readouterr().out
