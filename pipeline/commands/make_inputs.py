"""The first step of `tssr train --end-to-end`: extract the inputs of the encoders where they are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.progress import note
from ...core.settings import resolve
from ...core.workspace import WorkspaceFolders
from ...model.settings import TrainSettings
from ..runs.end_to_end_settings import EndToEndSettings
from ..runs.settings import SourceSettings


def make_inputs(
    workspace: WorkspaceFolders, source: SourceSettings, table: Mapping[str, Any], typed: Mapping[str, Any]
) -> None:
    """Make or extend the stores of encoder inputs that a run reads; do nothing without --end-to-end.

    `typed` are the settings given as options, `table` those of a config file.
    Raises what extract-features raises.
    """
    values = {**table, **typed}
    chosen = resolve(EndToEndSettings, _of(EndToEndSettings, values))
    if not chosen.end_to_end:
        return
    from ..extract.stage import extract_features
    from ..runs.encoder_inputs import extraction
    from ..runs.end_to_end import modalities_of, refuse_no_place, refuse_uneven

    seed = resolve(TrainSettings, _of(TrainSettings, values)).seed
    modalities = modalities_of(source.features)
    refuse_uneven(chosen, modalities)
    dataset = workspace.choose_dataset(source.dataset).name
    for index, choice in enumerate(chosen.choices(modalities, seed)):
        refuse_no_place(chosen, index, choice)
        made = extract_features(workspace, extraction(choice, chosen.reads(index), dataset))
        for row in made.rows if not made.cached else ():
            note(f"extracted what the encoder reads: {row[0]}, {row[-1]}")


def _of(settings: type[EndToEndSettings] | type[TrainSettings], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in settings.model_fields}
