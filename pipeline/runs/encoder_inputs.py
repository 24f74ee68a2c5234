"""The feature store from which the trained part of an encoder reads its inputs.

An encoder that is trained whole reads its modality's inputs (pixels, tokens). Where the lower part stays
frozen, the trained part reads the lower part's outputs (activations). A side network reads the states of all
blocks (layers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.dataset import DatasetInfo
from ...core.errors import UsageError
from ...core.schema import ITEMS_FILE
from ...core.settings import option_words, resolve
from ...core.workspace import WorkspaceFolders
from ...features.modality import ALL, LAYERS, MODALITIES, EncoderChoice
from ...features.settings import FeatureSettings
from ...features.store import StoreInfo, list_stores

if TYPE_CHECKING:
    from ...features.encoder import ContentEncoder


def input_store(
    workspace: WorkspaceFolders,
    dataset: DatasetInfo,
    encoder: ContentEncoder,
    choice: EncoderChoice,
    reads: str,
) -> StoreInfo:
    """The store that an encoder's trained part reads; of two that fit, float32 is preferred to float16.

    `reads` is what `EndToEndSettings.reads` says. Raises UsageError with the command that makes the store.
    """
    wanted = _wanted_key(encoder, choice, reads)
    kind = {ALL: MODALITIES[choice.modality].inputs, LAYERS: LAYERS}.get(reads, "activations")
    # A store's key also names its number format, of which `wanted` says nothing: it
    # need only be part of the key.
    fitting = [
        store
        for store in list_stores(workspace.features(dataset.name))
        if store.kind == kind and wanted.items() <= store.manifest["key"].items()
    ]
    if not fitting:
        words = ["tssr", "extract-features", "--dataset", dataset.name]
        # The first two words would be --dataset and its name, which stand there already.
        words += option_words(extraction(choice, reads, dataset.name).changed() | {"dataset": dataset.name})[
            2:
        ]
        raise UsageError(
            f"{workspace.features(dataset.name)} holds no {kind} for {choice.encoder}; make them with: "
            f"{' '.join(words)}"
        )
    items = dataset.manifest["tables"][ITEMS_FILE]["sha256"]
    # True is greater than False, and the name float32 than float16: a store of these very items
    # first, then the finer one.
    store = max(fitting, key=lambda store: (store.manifest["catalogue"] == items, store.manifest["dtype"]))
    store.refuse_other_items(items)
    return store


def _wanted_key(encoder: ContentEncoder, choice: EncoderChoice, reads: str) -> dict[str, Any]:
    """What the key of the store must say, whatever its number format."""
    from dataclasses import replace

    from ...features.encoder_stages import first_trained, stage_names
    from ...features.loading import load_encoder

    if reads == ALL:
        return {**load_encoder(replace(choice, material=True)).key, "modality": choice.modality}
    if reads == LAYERS:
        return {**encoder.key, LAYERS: ALL, "modality": choice.modality}
    last = stage_names(encoder.module)[first_trained(encoder.module, reads) - 1]
    return {**encoder.key, "until": last, "modality": choice.modality}


def extraction(choice: EncoderChoice, reads: str, dataset: str) -> FeatureSettings:
    """The settings of the extract-features command that makes what the trained part of an encoder reads."""
    values: dict[str, Any] = {
        "dataset": dataset,
        "modality": (choice.modality,),
        "encoder": (choice.encoder,),
        "weights": (choice.weights,) if choice.weights else (),
        "pooling": choice.pooling,
        "max_tokens": choice.max_tokens,
        "seed": choice.seed,
    }
    if reads == ALL:
        values["inputs"] = True
    elif reads == LAYERS:
        values["layers"] = ALL
    else:
        values["until"] = (_until(choice, reads),)
    return resolve(FeatureSettings, {name: value for name, value in values.items() if value is not None})


def _until(choice: EncoderChoice, unfreeze: str) -> str:
    """The stage below what `--unfreeze` names."""
    from ...features.encoder_stages import first_trained, stage_names
    from ...features.loading import load_encoder

    module = load_encoder(choice).module
    return stage_names(module)[first_trained(module, unfreeze) - 1]
