from pathlib import Path
from typing import Literal, Self

import pytest
from pydantic import Field, ValidationError, model_validator

from tssr.core.errors import UsageError
from tssr.core.settings import Settings, as_options, option_name, read_config, resolve


class Example(Settings):
    learning_rate: float = Field(0.1, gt=0)
    heads: int = Field(4, ge=1)
    norm: Literal["pre", "post"] = "pre"
    topk: tuple[int, ...] = Field((10,), min_length=1)
    weights: dict[str, float] = Field(default_factory=dict)
    strict: bool = False
    text: str | None = None
    folder: Path | None = None
    share: float = Field(0.5, le=1)
    seed: int = Field(1, lt=2**31)

    @model_validator(mode="after")
    def not_both(self) -> Self:
        if self.heads == 13:
            raise ValueError("--heads 13 brings bad luck")
        return self


def test_options_win_over_config_and_config_over_defaults(tmp_path):
    chosen = resolve(Example, {"heads": 2}, {"heads": 8, "norm": "post"}, tmp_path / "c.toml")
    assert chosen.changed() == {"heads": 2, "norm": "post"}


def test_what_was_changed():
    assert Example(heads=4, norm="post").changed() == {"norm": "post"}


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Example().heads = 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 0}, r"^--heads: should be greater than or equal to 1, not 0$"),
        ({"learning_rate": -1.0}, r"^--learning-rate: should be greater than 0, not -1\.0$"),
        ({"norm": "up"}, r"^--norm: should be 'pre' or 'post', not 'up'$"),
        ({"heads": 13}, r"^--heads 13 brings bad luck$"),
        (
            {"head": 1},
            r"^--head: unknown setting 'head'; did you mean heads\? Known here: folder, heads, "
            r"learning_rate, norm, seed, share, strict, text, topk, weights$",
        ),
        ({"heads": 0, "norm": "up"}, r"^--heads: .*; --norm: .*$"),
    ],
)
def test_every_problem_is_told_in_the_words_that_were_typed(options, words):
    with pytest.raises(UsageError, match=words):
        resolve(Example, options)


KINDS = [
    ("heads", "many", "should be a valid integer, not 'many'"),
    ("heads", 1.5, "should be a valid integer, not 1.5"),
    ("heads", [1], "should be a valid integer, not [1]"),
    ("heads", "9" * 5000, "should be a valid integer of less than 4,300 digits, not '999"),
    ("learning_rate", "fast", "should be a number, not 'fast'"),
    ("learning_rate", {}, "should be a number, not {}"),
    ("learning_rate", float("nan"), "should be a finite number, not nan"),
    ("share", 1.5, "should be less than or equal to 1, not 1.5"),
    ("seed", 2**31, "should be less than 2147483648, not 2147483648"),
    ("topk", 10, "should be a list, as in [10, 20], not 10"),
    ("topk", [], "should have at least 1 entries, not []"),
    ("topk", ["a"], "should be a valid integer, not 'a'"),
    ("weights", 3, "should be a table, not 3"),
    ("strict", "perhaps", "should be true or false, not 'perhaps'"),
    ("strict", [], "should be true or false, not []"),
    ("text", 7, "should be text, not 7"),
    ("folder", 7, "should be a path, not 7"),
]


@pytest.mark.parametrize(("key", "value", "words"), KINDS)
def test_what_a_value_should_be_is_said_in_our_words(key, value, words):
    with pytest.raises(UsageError) as caught:
        resolve(Example, {key: value})
    assert f"{option_name(key)}: {words}" in str(caught.value)


def test_a_problem_of_the_config_file_names_file_and_key(tmp_path):
    path = tmp_path / "c.toml"
    with pytest.raises(UsageError, match=r"^--config .*c\.toml, heads: should be .* not 'many'$"):
        resolve(Example, {}, {"heads": "many"}, path)
    with pytest.raises(UsageError, match=r"^--config .*c\.toml, lr: unknown setting 'lr'"):
        resolve(Example, {"heads": 2}, {"lr": 1}, path)


def test_an_option_overrides_a_broken_value_of_the_config(tmp_path):
    assert resolve(Example, {"heads": 2}, {"heads": "many"}, tmp_path / "c").heads == 2


def test_usage_errors_exit_with_2():
    assert UsageError.exit_code == 2


def test_option_names_are_as_typed():
    assert option_name("learning_rate") == "--learning-rate"


def test_config_files_are_toml(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[train]\nheads = 2\n")
    assert read_config(path) == {"train": {"heads": 2}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"--config .*c\.toml: there is no such file"),
        (b"[train\n", r"--config .*c\.toml: not a TOML file: .*line 1"),
        (b"\xff", r"--config .*c\.toml: not a TOML file"),
        (b"a = " + b"[" * 100_000, r"--config .*c\.toml: its values are nested too deeply"),
    ],
)
def test_a_bad_config_file_is_named(tmp_path, content, words):
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_config(path)


def test_a_folder_is_no_config_file(tmp_path):
    with pytest.raises(UsageError, match=r"--config .*: Is a directory"):
        read_config(tmp_path)


def test_settings_as_words_of_a_command():
    values = {"dropout": 0.1, "input_norm": False, "compile": True, "topk": (10, 20), "encoder": "a b"}
    assert as_options(values) == (
        "--dropout 0.1 --no-input-norm --compile --topk 10 --topk 20 --encoder 'a b'"
    )


def test_a_config_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbf[train]\nseed = 2\n")
    assert read_config(tmp_path / "c.toml") == {"train": {"seed": 2}}
