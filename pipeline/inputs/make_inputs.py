"""The first step of `tssr train --end-to-end`: extract the inputs of the encoders where they are missing."""

from __future__ import annotations

from ...core.progress import note
from ...core.workspace import WorkspaceFolders
from ..runs.plan import RunPlan


def make_inputs(workspace: WorkspaceFolders, plan: RunPlan, name: str | None, *, force: bool = False) -> None:
    """Make or extend the stores of encoder inputs that the plan's run of this name reads.

    Raises all that training would raise, before anything is extracted, and what extract-features raises.
    """
    from ..extract.stage import extract_features
    from ..runs.before_inputs import refuse_untrainable
    from ..runs.encoder_inputs import extraction

    assert plan.end_to_end is not None
    refuse_untrainable(workspace, plan, name, force=force)
    chosen = plan.end_to_end.settings
    asked = [
        extraction(choice, chosen.reads(index), plan.dataset.name)
        for index, choice in enumerate(plan.end_to_end.choices())
    ]
    made = extract_features(workspace, *asked)
    for row, store in zip(made.rows, made.data["stores"], strict=True):
        if store["encoded"]:
            note(f"extracted what the encoder reads: {row[0]}, {row[-1]}")
