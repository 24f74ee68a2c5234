"""State dicts as people have them: read as they are meant, with a note; what is none is one line."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tssr.core.errors import UsageError
from tssr.features.weights import load_weights, read_state_dict


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()


PLAIN = network(1).state_dict()
INPUTS = torch.tensor([[0.5, -1.0]])


def without_counters(state):
    return {name: value for name, value in state.items() if "num_batches" not in name}


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        (PLAIN, ""),
        (without_counters(PLAIN), ""),  # files of before PyTorch 0.4.1, among them torchvision's own
        ({f"module.{name}": value for name, value in PLAIN.items()}, "names without 'module.'"),
        (
            {name: v.half() if v.is_floating_point() else v for name, v in PLAIN.items()},
            "half precision as float32",
        ),
        ({"state_dict": PLAIN, "epoch": 3}, "the state dict under 'state_dict'"),
        (
            {"state_dict": {f"module.{name}": value for name, value in PLAIN.items()}},
            "the state dict under 'state_dict', names without 'module.'",
        ),
    ],
)
def test_a_state_dict_is_read_as_it_is_meant(tmp_path, capfd, saved, told):
    path = tmp_path / "w.pth"
    torch.save(saved, path)
    loaded = network(2)
    load_weights(loaded, read_state_dict(path), path)
    tolerance = 1e-2 if "half" in told else 0.0
    torch.testing.assert_close(loaded(INPUTS), network(1)(INPUTS), atol=tolerance, rtol=tolerance)
    assert capfd.readouterr().err == (f"--weights {path}: read {told}\n" if told else "")


def test_what_is_really_lacking_is_still_told(tmp_path):
    torch.save({name: value for name, value in PLAIN.items() if name != "0.bias"}, tmp_path / "w.pth")
    state = read_state_dict(tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"not for this --encoder: lacks 0\.bias$"):
        load_weights(network(2), state, tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_of_no_bytes_is_one_line(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"^--weights .*: no readable state dict \(the file is empty\)$"):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize(
    "content", [{}, {"state_dict": {}}, {"state_dict": {"a": 1}}, [PLAIN], {1: torch.ones(1)}]
)
def test_what_is_no_state_dict_is_one_line(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="holds more than a state dict"):
        read_state_dict(tmp_path / "w.pth")


def test_safetensors_in_half_precision(tmp_path, capfd):
    save_file({name: v.bfloat16() for name, v in without_counters(PLAIN).items()}, tmp_path / "w.safetensors")
    state = read_state_dict(tmp_path / "w.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float32}
    assert "half precision as float32" in capfd.readouterr().err
