import errno

import pytest
import torch
from safetensors.torch import save_file

from tssr.core.errors import ArtifactError, TssrError, UsageError
from tssr.model import checkpoint
from tssr.model.checkpoint import (
    TrainState,
    load_checkpoint,
    load_model,
    save_checkpoint,
    save_model,
    start_from,
)


def linear(width=2):
    return torch.nn.Linear(width, 3)


def one_step(model, optimizer):
    optimizer.zero_grad()
    model(torch.rand(4, 2)).square().sum().backward()
    optimizer.step()


def test_a_checkpoint_restores_weights_optimizer_random_state_and_place(tmp_path):
    model = linear()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    one_step(model, optimizer)
    state = TrainState(step=7, best=0.1 + 0.2, best_step=5, sums={"ce": 1 / 3})
    save_checkpoint(tmp_path / "c", model, optimizer, state)
    one_step(model, optimizer)
    wanted = [p.detach().clone() for p in model.parameters()]

    other = linear()
    other_optimizer = torch.optim.Adam(other.parameters(), lr=0.1)
    torch.manual_seed(99)
    assert load_checkpoint(tmp_path / "c", other, other_optimizer) == state
    one_step(other, other_optimizer)
    assert all(torch.equal(a, b) for a, b in zip(wanted, other.parameters(), strict=True))


def test_a_checkpoint_of_another_version_is_named_with_the_cure(tmp_path, monkeypatch):
    model = linear()
    optimizer = torch.optim.Adam(model.parameters())
    monkeypatch.setattr(checkpoint, "asdict", lambda state: {"step": 3, "of_old": 1})
    save_checkpoint(tmp_path / "c", model, optimizer, TrainState())
    with pytest.raises(ArtifactError, match=r"c was written by another version .*of_old.*train again"):
        load_checkpoint(tmp_path / "c", model, optimizer)


@pytest.mark.parametrize(
    "damage", ["cut", "flipped length", "text", "empty", "no record", "deep record", "folder"]
)
def test_a_damaged_file_is_named_with_the_cure(tmp_path, damage):
    path = tmp_path / "model.safetensors"
    save_model(path, linear(), {})
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-5])
    elif damage == "flipped length":
        path.write_bytes(b"\xff" * 8 + whole[8:])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "no record":
        save_file(linear().state_dict(), path)
    elif damage == "deep record":
        save_file(linear().state_dict(), path, metadata={"record": "[" * 100_000})
    else:
        path.unlink()
        path.mkdir()
    with pytest.raises(ArtifactError, match=r"model\.safetensors is damaged \(.*train again"):
        load_model(path, linear())


def test_a_missing_file_is_named_with_the_cure(tmp_path):
    with pytest.raises(ArtifactError, match=r"model\.safetensors is missing; train again with --force"):
        load_model(tmp_path / "model.safetensors", linear())


def test_other_sizes_are_named(tmp_path):
    save_model(tmp_path / "m", linear(width=4), {})
    wanted = r"does not fit: weight is \(3, 4\) there and \(3, 2\) in this model.*train again"
    with pytest.raises(ArtifactError, match=wanted):
        load_model(tmp_path / "m", linear(width=2))


def test_an_absent_weight_is_named(tmp_path):
    save_model(tmp_path / "m", torch.nn.Linear(2, 3, bias=False), {})
    with pytest.raises(ArtifactError, match=r"bias is absent there and \(3,\) in this model"):
        load_model(tmp_path / "m", linear())


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_model(path, linear(), {"step": 1})

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TssrError, match=r"could not write .*model\.safetensors: the disk .* is full"):
        save_model(path, linear(), {"step": 2})
    assert load_model(path, linear()) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_weights_may_be_read_by_whom_other_files_may(tmp_path):
    (tmp_path / "other").touch()
    save_model(tmp_path / "m", linear(), {})
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path, monkeypatch):
    save_model(tmp_path / "m", linear(), {})

    def denied(*_args, **_kwargs):
        raise FileNotFoundError("No such file")  # as safetensors has it

    monkeypatch.setattr(checkpoint, "safe_open", denied)
    with pytest.raises(ArtifactError, match="m may not be read; ask its owner"):
        load_model(tmp_path / "m", linear())


@pytest.mark.parametrize("there", [True, False])
def test_a_start_takes_what_stands_for_missing_content_only_where_both_have_it(tmp_path, there):
    """A run on frozen vectors may lack a picture that an end-to-end run has, and the other way round."""
    with_missing = torch.nn.ModuleDict({"input": torch.nn.ParameterDict({"missing": torch.ones(3)})})
    kept, started = (with_missing, torch.nn.ModuleDict()) if there else (torch.nn.ModuleDict(), with_missing)
    kept["head"], started["head"] = linear(), linear()
    save_model(tmp_path / "m", kept, {})
    start_from(tmp_path / "m", started, "--start-from run")
    assert torch.equal(started["head"].weight, kept["head"].weight)
    started["head"] = linear(width=4)
    with pytest.raises(UsageError, match=r"run: head\.weight is \(3, 2\) there and \(3, 4\) here"):
        start_from(tmp_path / "m", started, "--start-from run")
