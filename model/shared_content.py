"""One encoder for all that read a content type: the input of a model, and a head of content.

Both ask the source of the content for a module of their own. For fixed vectors that is right: two tables
share their memory. An encoder that is trained along is different: with two modules around it, each content
would be encoded twice in a step, and its weights would be saved twice.
"""

from __future__ import annotations

from torch import Tensor, nn

from .content import TrainedContent


class SharedContent(nn.Module):
    """Reads content through a module that is another part of the model, which also saves its weights."""

    def __init__(self, owned: TrainedContent) -> None:
        super().__init__()
        self._owned = (owned,)  # in a tuple, so that torch does not register it a second time

    def forward(self, items: Tensor) -> Tensor:
        """(…) item numbers -> (…, C)."""
        (owned,) = self._owned
        vectors: Tensor = owned(items)
        return vectors


def share_encoders(model: nn.Module) -> None:
    """Let the first part of `model` that holds an encoder be read by all others that hold the same."""
    first: dict[nn.Module, TrainedContent] = {}
    for part in list(model.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, TrainedContent):
                owned = first.setdefault(child.encoder, child)
                if owned is not child:
                    setattr(part, name, SharedContent(owned))
