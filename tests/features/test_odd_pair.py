"""A torchvision that was built for another torch is one line with the cure, for pictures and for texts."""

from __future__ import annotations

import sys

import pytest

from tssr.core.errors import TssrError
from tssr.features.loading import load_encoder
from tssr.features.modality import EncoderChoice


class Broken:
    """Finds torchvision, and fails on its import as torchvision 0.28 does beside a torch 2.13 for CPUs."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")


@pytest.mark.parametrize("choice", [("image", "resnet18"), ("text", "nowhere/bert")])
def test_an_odd_pair_is_one_line_with_the_cure(monkeypatch, choice):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    modality, encoder = choice
    with pytest.raises(
        TssrError, match=r"no pair \(operator torchvision::nms does not exist\); let pip choose"
    ):
        load_encoder(
            EncoderChoice(
                modality=modality, encoder=encoder, weights="random", pooling=None, max_tokens=8, seed=0
            )
        )
