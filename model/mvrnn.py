"""MV-RNN and MV-TRM: one sequence model over item inputs made of ID and content (Cui et al., TKDE 2018).

MV-RNN, arXiv 1611.06668; reference: cuiqiang1990/MV-RNN, in the variant 'Con.' (learned vector and projected
content side by side, no reconstruction) that its README advises for comparisons. MV-TRM puts a transformer
in the recurrent unit's place (the TSSR paper's baseline); here that is SASRec-Hybrid, by construction.
On purpose different, for all models alike so that they compare: the concatenation is mixed down to the
width, cross-entropy over all items instead of BPR with one negative, an untied head, Adam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .gru4rec import GRU4Rec
from .inputs import id_and_content
from .sasrec import SASRec, sasrec_hybrid

if TYPE_CHECKING:
    from .materials import Materials
    from .settings import MVRNNSettings, SASRecContentSettings


def mv_rnn(materials: Materials, settings: MVRNNSettings) -> GRU4Rec:
    """A GRU over ID and content."""
    return GRU4Rec(id_and_content(materials, settings.width, settings), materials, settings)


def mv_trm(materials: Materials, settings: SASRecContentSettings) -> SASRec:
    """A transformer over ID and content."""
    return sasrec_hybrid(materials, settings)
