import pytest
import torch

from tssr.core.device import choose_device
from tssr.core.errors import UsageError


def test_auto_takes_what_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto") == torch.device("cuda:0")


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_under_torchrun_each_process_has_its_own_gpu(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for rank in range(2):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert choose_device(name) == torch.device(f"cuda:{rank}")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match="--device cuda: torch sees 2 GPUs"):
        choose_device(name)


def test_under_torchrun_a_process_makes_its_gpu_the_current_one_and_takes_no_other(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    choose_device("cuda:1")
    assert not current
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    choose_device("cuda")
    assert current == [torch.device("cuda:1")]
    with pytest.raises(UsageError, match="--device cuda:0: under torchrun each process has its own GPU"):
        choose_device("cuda:0")


@pytest.mark.parametrize(("name", "gpus"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_an_absent_gpu_is_said(monkeypatch, name, gpus):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(UsageError, match=rf"--device {name}: torch sees {gpus} GPUs; use --device cpu"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "meta", "mps", "cuda:x", "cpu:-"])
def test_other_names_are_refused(name):
    with pytest.raises(UsageError, match=rf"--device {name}: use auto, cpu, cuda or cuda:N"):
        choose_device(name)
