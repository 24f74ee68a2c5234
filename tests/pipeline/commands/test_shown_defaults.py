"""The help of `train` shows for every model the default that it trains with."""

import re

import pytest

from tssr.core.settings import resolve
from tssr.model.registry import MODELS
from tssr.model.settings import TrainSettings
from tssr.pipeline.commands import extract_features, train

HELP = {param.name: param.help or "" for param in train.command.params if hasattr(param, "help")}


def shown(option: str, model: str) -> str | None:
    """What the help says of a setting's default in `model`: words, or None where it gives no value."""
    for models, value in re.findall(r"\[((?:[a-z0-9-]+ and )*[a-z0-9-]+): ([^\]]*)\]", HELP[option]):
        if model in models.split(" and "):
            return value
    default = re.search(r"\[default: ([^\]]*)\]", HELP[option])
    return None if default is None else default[1]


def true_defaults(model: str) -> dict[str, object]:
    spec = MODELS[model]
    training = dict(resolve(TrainSettings, {})) if spec.trained else {}
    return {**training, **dict(resolve(spec.settings, {})), **spec.defaults}


@pytest.mark.parametrize("model", MODELS)
def test_every_shown_default_is_the_one_the_model_trains_with(model):
    for name, value in true_defaults(model).items():
        words = shown(name, model)
        if isinstance(value, bool):
            assert (words or "off") == ("on" if value else "off"), name
        elif value is None:  # the description says in words what none means
            assert words is None or not re.fullmatch(r"[0-9.e-]+", words), name
        else:
            assert words == str(value), name


@pytest.mark.parametrize(
    ("model", "option", "value"),
    [("esasrec", "head", "tied"), ("unisrec", "input_norm", "on"), ("tssr-rank", "width", "64")],
)
def test_known_defaults_of_their_own(model, option, value):
    assert shown(option, model) == value
    assert shown(option, "sasrec-id") != value


def test_an_option_of_one_model_stands_in_a_section_of_its_name():
    sections = {param.name: getattr(param, "section", "") for param in train.command.params}
    assert sections["cold_share"] == "TSSR-Rank"
    assert sections["content_scale"] == "Models that read content"


def test_settings_of_other_stages_name_no_model():
    """`extract-features --batch-size` has the name of a setting of training, and nothing else of it."""
    texts = {param.name: param.help or "" for param in extract_features.command.params}
    assert "batch_size" in texts
    assert not any(model in text for text in texts.values() for model in ("tssr-rank", "esasrec"))
