import pytest
import torch

from tssr.core.device import choose_device
from tssr.core.errors import UsageError


def test_auto_takes_what_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "3")  # as torchrun does
    assert choose_device("auto") == torch.device("cuda:3")


@pytest.mark.parametrize(("name", "gpus"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_an_absent_gpu_is_said(monkeypatch, name, gpus):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(UsageError, match=rf"--device {name}: torch sees {gpus} GPUs; use --device cpu"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "meta", "mps", "cuda:x", "cpu:-"])
def test_other_names_are_refused(name):
    with pytest.raises(UsageError, match=rf"--device {name}: use auto, cpu, cuda or cuda:N"):
        choose_device(name)
