"""What tests of runs share: the small shop, and a training that is killed, held against one that is not."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from tssr.cli import main
from tssr.model import trainer


@pytest.fixture(scope="session")
def shop_tables(tmp_path_factory, shop):
    """A workspace with the small shop preprocessed; it stays as it is."""
    folder = tmp_path_factory.mktemp("tables")
    main(["preprocess", "hm", "--raw", str(shop), "--workspace", str(folder)])
    return folder


@pytest.fixture
def prepared(tssr, shop_tables, tmp_path):
    """`tssr(…)` in a copy of that workspace, tmp_path / "workspace"."""
    shutil.copytree(shop_tables, tmp_path / "workspace")
    return tssr


@pytest.fixture
def goes_on_like_unbroken(prepared, tmp_path, monkeypatch):
    """Train whole, and killed at the first checkpoint and resumed: `files` of both hold the same bits."""

    def check(options, files):
        assert prepared(*options, "--run", "whole").code == 0
        saved = trainer.save_checkpoint

        def then_killed(*given):
            saved(*given)
            raise KeyboardInterrupt

        monkeypatch.setattr(trainer, "save_checkpoint", then_killed)
        assert prepared(*options, "--run", "broken").code == 130
        monkeypatch.setattr(trainer, "save_checkpoint", saved)
        assert prepared(*options, "--run", "broken").code == 0
        runs = tmp_path / "workspace" / "runs"
        for file in files:
            whole, broken = (load_file(runs / run / file) for run in ("whole", "broken"))
            assert set(whole) == set(broken)
            assert all(torch.equal(whole[name], broken[name]) for name in whole), file

    return check
